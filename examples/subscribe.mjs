// Print every alert. `npm install` in this folder, then `node subscribe.mjs [endpoint]`.
import { Subscriber } from "zeromq";

const socket = new Subscriber();
socket.connect(process.argv[2] ?? "tcp://127.0.0.1:5556");
socket.subscribe("egomon/1/");
const newest = new Map();
for await (const [topic, body] of socket) {
  if (topic.toString().endsWith("/alert/")) {
    const event = JSON.parse(body.toString());
    // A reader that is too slow loses messages; a hole in the numbers of a topic shows it.
    const key = `${event.boot} ${topic}`;
    const lost = event.tseq - (newest.get(key) ?? event.tseq - 1) - 1;
    if (lost > 0) console.error(`${lost} alerts were lost; the monitor's store has them`);
    newest.set(key, event.tseq);
    /** @type {import("./egomon").AlertData} */
    const alert = event.data;
    console.log(alert.alert_id, alert.rev, alert.phase, alert.explanation);
  }
}
