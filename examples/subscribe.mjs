// Print every alert. `npm install` in this folder, then `node subscribe.mjs [endpoint]`.
import { Subscriber } from "zeromq";

const socket = new Subscriber();
socket.connect(process.argv[2] ?? "tcp://127.0.0.1:5556");
socket.subscribe("egomon/1/");
for await (const [topic, body] of socket) {
  if (topic.toString().endsWith("/alert/")) {
    /** @type {import("./egomon").AlertData} */
    const alert = JSON.parse(body.toString()).data;
    console.log(alert.alert_id, alert.rev, alert.phase, alert.explanation);
  }
}
