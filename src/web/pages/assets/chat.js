
// --- The chat: what is new comes over one socket. Finished blocks are rendered by the server and asked for as a fragment;
// only the open block grows here.

(() => {
  const chat = document.getElementById("chat");
  if (chat === null) return;
  const events = document.getElementById("events");
  const open = document.getElementById("open");
  const panel = document.getElementById("panel");
  const keys = document.getElementById("keys");
  const composer = document.getElementById("composer");
  const place = { project: chat.dataset.project, conversation: chat.dataset.conversation };
  let epoch = chat.dataset.epoch;
  let last = Number(chat.dataset.last);
  let socket = null;
  let wait = 500;
  let block = "";
  let asking = false;
  let again = false;
  let sending = "";

  if (!chat.dataset.live) return;
  const KEYS = "Enter sends, Shift Enter makes a new line.";
  const say = (text) => { if (keys) keys.textContent = text; };

  // Asks for what is new; while one request runs, the next one waits for it.
  const refresh = async () => {
    if (asking) { again = true; return; }
    asking = true;
    try {
      do {
        again = false;
        const answer = await fetch(`${chat.dataset.fragment}?after=${last}`, { cache: "no-store" });
        if (answer.status === 404) { location.reload(); return; }
        if (answer.status === 401) { connection.ended(); return; }
        if (!answer.ok) break;
        connection.ok();
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const part = page.querySelector("[data-part=events]");
        for (const event of part.querySelectorAll("[data-seq]")) {
          const seq = Number(event.dataset.seq);
          if (seq <= last) continue;
          last = seq;
          if (event.dataset.block === block) close();
          events.append(document.adoptNode(event));
        }
        if (part.dataset.more) again = true;
        for (const id of ["panel", "strip", "now"]) {
          const next = page.querySelector(`[data-part=${id}]`);
          const area = document.getElementById(id);
          const typing = area.contains(document.activeElement) && /INPUT|TEXTAREA/.test(document.activeElement.tagName);
          if (next.innerHTML !== area.innerHTML && !(typing && sameCards(next, area))) area.replaceChildren(...next.childNodes);
        }
      } while (again);
    } catch {
      // Without a socket the next connection asks again.
      if (socket !== null && socket.readyState === WebSocket.OPEN) setTimeout(refresh, 2000);
    } finally {
      asking = false;
    }
  };
  const cards = (area) => [...area.querySelectorAll(".card h2")].map((title) => title.id).join();
  const sameCards = (one, other) => cards(one) === cards(other);

  const close = () => {
    block = "";
    open.hidden = true;
    open.firstElementChild.textContent = "";
  };

  const take = (frame) => {
    switch (frame.type) {
      case "event":
        if (frame.event.seq > last) refresh();
        break;
      case "delta": {
        if (frame.block !== block) { close(); block = frame.block; }
        const area = open.firstElementChild;
        const have = [...area.textContent];
        area.textContent = have.slice(0, frame.offset).join("") + frame.text;
        open.classList.toggle("thinking", frame.kind === "thinking");
        open.hidden = false;
        break;
      }
      case "state":
        if (frame.state === "idle" || frame.state === "offline") close();
        refresh();
        break;
      case "reset":
        location.reload();
        break;
      case "error":
        say(frame.problem.detail);
        // What was not taken can be mended and sent again.
        if (frame.ref === "p" && composer?.elements.text.value === "") composer.elements.text.value = sending;
        break;
      default:
    }
  };

  const connect = () => {
    const address = new URL(chat.dataset.socket, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(address);
    socket.onopen = () => {
      wait = 500;
      say(KEYS);
      connection.ok();
      const from = epoch === "" ? {} : { epoch, after: last };
      socket.send(JSON.stringify({ type: "subscribe", ref: "s", ...place, ...from }));
    };
    socket.onmessage = (message) => {
      const frame = JSON.parse(message.data);
      if (frame.epoch && frame.type !== "reset") epoch = frame.epoch;
      take(frame);
    };
    socket.onclose = () => {
      say("Not connected. A prompt is sent as a form.");
      // A refusal of the socket does not say why; the fragment does, and leads to the sign-in.
      setTimeout(() => { refresh(); connect(); }, wait * (0.5 + Math.random()));
      wait = Math.min(wait * 2, 15000);
    };
  };

  // A prompt goes by the socket; without one, the form is sent as it is.
  composer?.addEventListener("submit", (sent) => {
    if (socket === null || socket.readyState !== WebSocket.OPEN) return;
    sent.preventDefault();
    const text = composer.elements.text.value;
    if (text.trim() === "") return;
    const field = composer.elements.id;
    socket.send(JSON.stringify({ type: "prompt", ref: "p", ...place, id: field.value, text }));
    sending = text;
    composer.elements.text.value = "";
    sessionStorage.removeItem(`draft:${place.conversation}`);
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    field.value = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  });
  composer?.elements.text.addEventListener("keydown", (key) => {
    if (key.key !== "Enter" || key.shiftKey || key.isComposing) return;
    key.preventDefault();
    composer.requestSubmit();
  });

  // Answers and other forms beside the transcript, without leaving the page.
  for (const id of ["panel", "strip", "now"]) {
    document.getElementById(id).addEventListener("submit", async (sent) => {
      sent.preventDefault();
      const form = sent.target;
      const body = new URLSearchParams(new FormData(form, sent.submitter));
      if (sent.submitter) sent.submitter.disabled = true;
      try {
        const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
        if (answer.status === 401) connection.ended();
        else if (answer.type !== "opaqueredirect" && !answer.ok) say("That was not taken; the page shows how it is now.");
      } catch {
        connection.lost();
      }
      if (sent.submitter) sent.submitter.disabled = false;
      if (document.activeElement) document.activeElement.blur();
      refresh();
    });
  }

  connect();
})();
