// What is heard: a tone of its own for each kind of news, then the sentence; vibration on a phone.
// Browsers allow sound only after a person has asked for it, so one button switches it on.
const REPEAT_MS = 10000;
const VIBRATION = Object.freeze({ open: [200, 100, 200, 100, 400], retracted: [100], lost: [600], outside: [300] });

// Schedules [Hz, seconds] one after another; without a soft beginning and end a loudspeaker cracks.
function playTone(context, tone) {
  let at = context.currentTime;
  for (const [hertz, seconds] of tone) {
    if (hertz) {
      const [oscillator, gain] = [context.createOscillator(), context.createGain()];
      oscillator.frequency.value = hertz;
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(0.5, at + 0.01);
      gain.gain.setValueAtTime(0.5, at + seconds - 0.01);
      gain.gain.linearRampToValueAtTime(0, at + seconds);
      oscillator.connect(gain).connect(context.destination);
      oscillator.start(at);
      oscillator.stop(at + seconds);
    }
    at += seconds;
  }
}

class Sound {
  constructor(tones, act) {
    this.tones = tones;
    this.context = null;
    this.repeats = false;
    this.mute = { until: 0, timer: 0 };
    this.muteButton = h("button", { type: "button", id: "mute", "aria-pressed": "false", onclick: () => act("mute", { on: !this.isMuted }) });
    this.timer = 0;
    this.onButton = h("button", { type: "button", id: "sound", "aria-pressed": "false", onclick: () => this.toggle() }, "Sound on");
    this.repeatButton = h("button", { type: "button", id: "repeat", "aria-pressed": "false", onclick: () => this.toggleRepeat() }, "Repeat until seen");
    this.draw();
  }

  get controls() {
    return [this.onButton, this.repeatButton, this.muteButton];
  }

  draw() {
    const on = Boolean(this.context);
    this.onButton.setAttribute("aria-pressed", String(on));
    this.repeatButton.setAttribute("aria-pressed", String(this.repeats));
    this.repeatButton.hidden = !on;
    this.muteButton.setAttribute("aria-pressed", String(this.isMuted));
    const until = new Date(this.mute.until).toTimeString().slice(0, 5);
    this.muteButton.textContent = this.isMuted ? `Muted until ${until}: unmute` : "Mute 5 min";
  }

  toggle() {
    if (this.context) {
      this.hush();
      this.context.close?.();
      this.context = null;
    } else {
      this.context = new AudioContext();
      this.context.resume();
    }
    this.draw();
  }

  toggleRepeat() {
    this.repeats = !this.repeats;
    if (!this.repeats) clearInterval(this.timer);
    this.draw();
  }

  get isMuted() {
    return Date.now() < this.mute.until;
  }

  // The machine and every page are silent until then; what repeats goes on afterwards.
  muteUntil(milliseconds) {
    if (milliseconds === this.mute.until) return;
    clearTimeout(this.mute.timer);
    this.mute.until = milliseconds;
    if (this.isMuted) {
      this.stopSpeaking();
      this.mute.timer = setTimeout(() => this.draw(), milliseconds - Date.now() + 100);
    }
    this.draw();
  }

  // An alert comes again and again where that was asked for, until it is seen.
  tell(kind, sentence) {
    clearInterval(this.timer);
    if (!this.context) return;
    this.play(kind, sentence);
    if (kind === "open" && this.repeats) this.timer = setInterval(() => this.play(kind, sentence), REPEAT_MS);
  }

  play(kind, sentence) {
    if (!this.context || this.isMuted) return;
    const tone = this.tones[kind] || [];
    playTone(this.context, tone);
    navigator.vibrate?.(VIBRATION[kind]);
    if (!window.speechSynthesis) return;
    speechSynthesis.cancel();
    clearTimeout(this.saying);
    const seconds = tone.reduce((sum, [, each]) => sum + each, 0);
    this.saying = setTimeout(() => speechSynthesis.speak(new SpeechSynthesisUtterance(sentence)), seconds * 1000);
  }

  hush() {
    clearInterval(this.timer);
    this.stopSpeaking();
  }

  stopSpeaking() {
    clearTimeout(this.saying);
    window.speechSynthesis?.cancel();
  }
}
