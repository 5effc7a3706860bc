// Loaded before Azurite: when the process that started it ends, however that happened, standard
// input closes, and Azurite is told to save and stop as Ctrl+C would tell it.
let asked = false;
function stop() {
  if (asked) return;
  asked = true;
  process.emit("SIGINT");
  setTimeout(() => process.exit(0), 5000).unref();
}
process.stdin.on("end", stop).on("close", stop).on("error", stop);
process.stdin.resume();
