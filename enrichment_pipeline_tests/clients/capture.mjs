// Does what its input says with posthog-node, as it comes from its registry: one call a line,
// {"method": …, "arguments": […]}. Where the input ends, it sends what is left and ends.
//
// node capture.mjs HOST TOKEN OPTIONS

import { createInterface } from "node:readline";
import { PostHog } from "posthog-node";

const LONGEST_SHUTDOWN_MS = 60_000;

const [host, token, options] = process.argv.slice(2);
const posthog = new PostHog(token, { host, ...JSON.parse(options) });
posthog.on("error", (error) => console.error(`not sent: ${error}`));
for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  posthog[call.method](...call.arguments);
}
// Between two attempts the client's own timers do not keep Node alive; a server's sockets would.
const alive = setTimeout(() => {}, LONGEST_SHUTDOWN_MS);
await posthog.shutdown(LONGEST_SHUTDOWN_MS);
clearTimeout(alive);
