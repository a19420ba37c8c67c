// The admin interface as this page sees it: questions with the token, and the stream of events, which comes back when lost.
const SILENCE = 6000; // ms without an event, of which there is one each second: the connection is dead
const LONGEST = 4 << 20; // characters of one event

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export class Admin {
  constructor(token) {
    this.token = token;
  }

  async ask(path, said) {
    const response = await this.request(path, { said, signal: AbortSignal.timeout(15000) });
    return response.json();
  }

  async request(path, { said, signal, accept = "application/json" }) {
    const headers = { Authorization: `Bearer ${this.token}`, Accept: accept };
    if (said !== undefined) headers["Content-Type"] = "application/json";
    const response = await fetch(path, {
      method: said === undefined ? "GET" : "POST", headers, signal,
      body: said === undefined ? undefined : JSON.stringify(said),
      cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
    });
    if (response.ok) return response;
    let text = `${response.status} ${response.statusText}`;
    try {
      text = (await response.json()).error ?? text;
    } catch {
      // not one of ours
    }
    throw new Refused(response.status, text);
  }

  // Calls heard(name, data) for each event until the stream ends, which it does by throwing.
  async listen(heard, stop) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE);
    try {
      const signal = AbortSignal.any([stop, silence.signal]);
      const response = await this.request("v1/events", { signal, accept: "text/event-stream" });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) throw new Error("the stream has ended");
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE);
        const events = (rest + value.replaceAll("\r\n", "\n")).split("\n\n");
        rest = events.pop();
        if (rest.length > LONGEST) throw new Error("an event without end");
        for (const event of events) {
          let name = "message", data = "";
          for (const line of event.split("\n")) {
            if (line.startsWith("event:")) name = line.slice(6).trim();
            if (line.startsWith("data:")) data += line.slice(5).trim();
          }
          if (data) heard(name, JSON.parse(data));
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
