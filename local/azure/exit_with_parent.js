// Loaded before Azurite: standard input closes when the parent process ends, also when it is
// killed. Then let Azurite save and stop as on Ctrl+C.
let asked = false;
function stop() {
  if (asked) return;
  asked = true;
  process.emit("SIGINT");
  setTimeout(() => process.exit(0), 5000).unref();
}
process.stdin.on("end", stop).on("close", stop).on("error", stop);
process.stdin.resume();
