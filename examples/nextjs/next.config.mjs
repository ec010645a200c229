// Browsers send events to this application itself, which passes them on: the API needs no address
// that the world can reach, and no list of hosts that block what they take for advertising stops it.
const api = process.env.EVENTS_API_URL ?? "http://127.0.0.1:8000";

export default {
  async rewrites() {
    return [{ source: "/ingest/:path*", destination: `${api}/:path*` }];
  },
  // PostHog's paths end with a slash.
  skipTrailingSlashRedirect: true,
};
