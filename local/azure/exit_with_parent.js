// Loaded before Azurite: standard input closes when the parent process ends, also when it is
// killed. Then let Azurite save and stop as on Ctrl+C. A signal that it gets itself is enough.
const MOST_TO_SAVE = 20000;
let asked = false;
function stop() {
  if (asked) return;
  process.emit("SIGINT");
}
function begin() {
  asked = true;
  setTimeout(() => process.exit(0), MOST_TO_SAVE).unref();
}
// The log has no reader any more: an unhandled EPIPE would end it before it has saved.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});
process.once("SIGINT", begin).once("SIGTERM", begin);
process.stdin.on("end", stop).on("close", stop).on("error", stop);
process.stdin.resume();
