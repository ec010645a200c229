// Next.js runs this file in the browser before the application starts.
import posthog from "posthog-js";

posthog.init(process.env.NEXT_PUBLIC_POSTHOG_KEY ?? "phc_local", {
  api_host: "/ingest",
  // A pageview for each page that the router shows.
  defaults: "2025-05-24",
});
