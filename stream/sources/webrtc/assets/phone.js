(() => {
"use strict";
const byId = (id) => document.getElementById(id);
const MAIN = { environment: "environment", user: "user" };
const RETRY_MS = 1000, LATEST_RETRY_MS = 5000, CONNECT_MS = 8000, REQUEST_MS = 5000, SILENCE_MS = 2500;

let secret = new URLSearchParams(location.hash.slice(1)).get("token");
if (!secret) secret = read(sessionStorage) || read(localStorage);
let wanted = false, busy = false, failures = 0;
let stream = null, peer = null, place = null, lock = null, sound = null, timer = 0;
let hidden_at = 0, heard_at = 0;

function read(storage) { try { return storage.getItem("egomon"); } catch { return null; } }
function keep(value) {
  secret = value;
  for (const storage of [sessionStorage, localStorage]) {
    try { storage.setItem("egomon", value); } catch { /* private windows may refuse */ }
  }
  history.replaceState(null, "", location.pathname);
}

function say(state, words) {
  byId("state").dataset.state = state;
  byId("words").textContent = words;
}

function request(path, method, body, type) {
  const headers = { Authorization: `Bearer ${secret}` };
  if (type) headers["Content-Type"] = type;
  const stop = new AbortController(), late = setTimeout(() => stop.abort(), REQUEST_MS);
  return fetch(path, { method, body, headers, cache: "no-store", keepalive: method === "DELETE", signal: stop.signal })
    .finally(() => clearTimeout(late));
}

/* So that the terminal says, too, what is wrong here. */
function tell(problem) {
  if (secret) request("/problem", "POST", problem, "text/plain").then((answer) => answer.text()).catch(() => {});
}

function give_up(problem, words) {
  refused(words);
  tell(problem);
}

function refused(words) {
  wanted = false;
  disconnect();
  release();
  show();
  say("off", words);
}

async function open_camera() {
  if (stream && stream.getVideoTracks()[0].readyState === "live") return;
  release();
  const [width, height] = byId("size").value.split("x").map(Number);
  const lens = byId("lens").value;
  const which = lens in MAIN ? { facingMode: { ideal: lens } } : { deviceId: { exact: lens } };
  const video = { ...which, width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: 15, max: 30 } };
  stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
  const track = stream.getVideoTracks()[0];
  track.contentHint = "detail";
  track.addEventListener("ended", () => { if (wanted) recover(0); });
  byId("view").srcObject = stream;
  const can = track.getCapabilities ? track.getCapabilities() : {};
  byId("torch").hidden = !can.torch;
  mark("torch", "Light", false);
  await list_lenses();
}

/* Their names are known once the camera was allowed. */
async function list_lenses() {
  const select = byId("lens"), chosen = select.value;
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((d) => d.kind === "videoinput" && d.label);
  while (select.options.length > 2) select.remove(2);
  if (found.length > 1) for (const each of found) select.add(new Option(each.label, each.deviceId));
  select.value = chosen;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
}

function release() {
  if (stream) for (const track of stream.getTracks()) track.stop();
  stream = null;
  byId("view").srcObject = null;
  byId("torch").hidden = true;
}

function disconnect() {
  clearTimeout(timer);
  if (place && secret) request(place, "DELETE").catch(() => {});
  if (peer) { peer.onconnectionstatechange = null; peer.close(); }
  peer = place = null;
}

async function connect() {
  if (busy || !wanted) return;
  busy = true;
  try {
    say("wait", failures ? "Connecting again …" : "Connecting …");
    await open_camera();
    disconnect();
    heard_at = 0;
    const mine = peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const track = stream.getVideoTracks()[0];
    const sender = mine.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    prefer(sender);
    const channel = mine.createDataChannel("alerts");
    channel.onmessage = (event) => { heard_at = Date.now(); if (event.data) take_alert(event.data); };
    channel.onclose = () => { if (mine === peer) recover(0); };
    mine.onconnectionstatechange = () => on_state(mine);
    await mine.setLocalDescription(await mine.createOffer());
    await gathered(mine);
    const answer = await request("/whip", "POST", mine.localDescription.sdp, "application/sdp");
    if (answer.status !== 201) {
      const words = await answer.text();
      if (answer.status === 409) throw new Error(words);
      return refused(words);
    }
    const fresh = answer.headers.get("Egomon-Session");
    if (fresh) keep(fresh);
    place = answer.headers.get("Location");
    await mine.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    clearTimeout(timer);
    timer = setTimeout(() => { if (mine === peer && mine.connectionState !== "connected") lost("network"); }, CONNECT_MS);
  } catch (error) {
    failed(error);
  } finally {
    busy = false;
  }
}

/* H.264 is coded by the phone's hardware: less heat, and the battery lasts. */
function prefer(transceiver) {
  const can = window.RTCRtpSender && RTCRtpSender.getCapabilities && RTCRtpSender.getCapabilities("video");
  if (!can || !transceiver.setCodecPreferences || !/Android|iPhone|iPad|Macintosh/.test(navigator.userAgent)) return;
  const first = can.codecs.filter((c) => c.mimeType === "video/H264");
  if (first.length) transceiver.setCodecPreferences([...first, ...can.codecs.filter((c) => c.mimeType !== "video/H264")]);
}

function gathered(connection) {
  return new Promise((done) => {
    const look = () => { if (connection.iceGatheringState === "complete") done(); };
    connection.onicegatheringstatechange = look;
    setTimeout(done, 500);
    look();
  });
}

function on_state(mine) {
  if (mine !== peer) return;
  if (mine.connectionState === "connected") {
    clearTimeout(timer);
    failures = 0;
    say("on", "Sending to egomon");
  } else if (["failed", "closed"].includes(mine.connectionState)) {
    lost("network");
  } else if (mine.connectionState === "disconnected") {
    recover(RETRY_MS);
  }
}

function lost(problem) {
  if (failures === 2) tell(problem);
  recover(Math.min(RETRY_MS * failures, LATEST_RETRY_MS));
}

function failed(error) {
  if (!wanted) return;
  if (error.name === "NotAllowedError" || error.name === "SecurityError")
    return give_up("denied", "The camera was not allowed. Allow it for this page in the browser's settings, then start.");
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError")
    return give_up("camera", "No such camera was found. Choose another one.");
  const is_camera = error.name === "NotReadableError";
  say("wait", is_camera ? "Another app uses the camera; waiting for it …"
    : error.name === "Error" ? error.message : "egomon does not answer; trying again …");
  recover(Math.min(RETRY_MS * (failures + 1), LATEST_RETRY_MS));
}

function recover(after_ms) {
  failures += 1;
  clearTimeout(timer);
  timer = setTimeout(connect, after_ms);
}

/* A page that slept may hold a dead camera and a connection that looks alive: begin anew. */
function wake() {
  if (!wanted || document.visibilityState !== "visible") return;
  hold_awake();
  if (sound) sound.resume();
  const track = stream && stream.getVideoTracks()[0];
  const is_alive = peer && peer.connectionState === "connected" && track && track.readyState === "live" && !track.muted;
  if (is_alive && Date.now() - hidden_at < 2000) return;
  if (track && track.muted) release();
  recover(0);
}

/* egomon sends an empty word each second; without it, nobody listens any more. */
setInterval(() => {
  if (wanted && heard_at && peer && peer.connectionState === "connected" && Date.now() - heard_at > SILENCE_MS) recover(0);
}, 1000);

async function hold_awake() {
  if (lock && !lock.released) return;
  try { lock = await navigator.wakeLock.request("screen"); } catch { lock = null; }
}

function take_alert(text) {
  let given;
  try { given = JSON.parse(text); } catch { return; }
  const box = byId("alert");
  if (given.phase === "new") {
    box.dataset.id = given.id;
    box.className = "";
    byId("alert-head").textContent = given.severity === "notice" ? "Look again" : "Check this step";
    byId("alert-text").textContent = given.text;
    box.hidden = false;
    if (navigator.vibrate) navigator.vibrate(given.severity === "notice" ? [200] : [250, 120, 250, 120, 250]);
    if (is_on("sound")) beep(given.severity === "notice" ? 1 : 3);
  } else if (box.dataset.id === given.id) {
    box.className = "over";
    byId("alert-head").textContent = given.phase === "retract" ? "Taken back" : "Over";
    if (given.phase === "retract") byId("alert-text").textContent = given.text;
  }
}

function beep(times) {
  if (!sound) return;
  for (let i = 0; i < times; i += 1) {
    const tone = sound.createOscillator(), gain = sound.createGain(), at = sound.currentTime + i * 0.3;
    tone.frequency.value = 880;
    gain.gain.setValueAtTime(0.0001, at);
    gain.gain.exponentialRampToValueAtTime(0.6, at + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.0001, at + 0.22);
    tone.connect(gain).connect(sound.destination);
    tone.start(at);
    tone.stop(at + 0.24);
  }
}

function is_on(id) { return byId(id).dataset.on === "true"; }

function mark(id, name, on) {
  byId(id).dataset.on = String(on);
  byId(id).textContent = `${name} ${on ? "on" : "off"}`;
}

function show() {
  byId("start").textContent = wanted ? "Stop" : "Start";
  byId("start").classList.toggle("stop", wanted);
  byId("hint").hidden = wanted;
}

byId("start").addEventListener("click", () => {
  wanted = !wanted;
  failures = 0;
  show();
  if (wanted) {
    const Sound = window.AudioContext || window.webkitAudioContext;
    if (!sound && Sound) sound = new Sound();
    if (sound) sound.resume();
    hold_awake();
    connect();
  } else {
    disconnect();
    release();
    if (lock) lock.release();
    say("off", "Stopped");
  }
});
for (const id of ["lens", "size"]) byId(id).addEventListener("change", () => { if (wanted) { release(); recover(0); } });
byId("sound").addEventListener("click", () => mark("sound", "Sound", !is_on("sound")));
byId("torch").addEventListener("click", async () => {
  const torch = !is_on("torch");
  try { await stream.getVideoTracks()[0].applyConstraints({ advanced: [{ torch }] }); } catch { return; }
  mark("torch", "Light", torch);
});
byId("alert-close").addEventListener("click", () => { byId("alert").hidden = true; });
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") hidden_at = Date.now();
  else wake();
});
addEventListener("pageshow", (event) => { if (event.persisted) wake(); });
addEventListener("online", wake);

if (!window.isSecureContext) give_up("insecure", "This page is not encrypted, so the browser gives no camera. Open the https:// link that egomon shows.");
else if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia || !window.RTCPeerConnection) give_up("old", "This browser is too old: it has no camera or no WebRTC for pages. Use a newer Chrome, Safari or Firefox.");
else if (!secret) say("off", "Scan the code that egomon shows in its terminal.");
else { say("wait", "Ready"); byId("start").disabled = false; }
})();
