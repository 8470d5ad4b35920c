// Ask a monitor for something: `npm install`, then `node control.mjs '{"verb":"stats"}' [endpoint]`.
// docs/wire.md lists the verbs; for example {"verb":"mute","seconds":60}.
import { Dealer } from "zeromq";

const socket = new Dealer({ receiveTimeout: 3000, linger: 0 });
socket.connect(process.argv[3] ?? "tcp://127.0.0.1:5557");
await socket.send(JSON.stringify({ id: 1, ...JSON.parse(process.argv[2] ?? '{"verb":"hello"}') }));
const [answer] = await socket.receive();
console.log(answer.toString());
socket.close();
