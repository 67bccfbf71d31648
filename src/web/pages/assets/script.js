// Comfort for pages that work without it: what changes refreshes by itself, a short name is suggested, a log is followed.
"use strict";

// --- The connection: whether the manager answers, and whether the session still is.

const connection = (() => {
  const place = document.getElementById("conn");
  let state = "";
  const show = (next, text, link) => {
    if (place === null || state === next) return;
    state = next;
    place.classList.toggle("bad", next !== "ok");
    place.textContent = text;
    if (link) {
      const way = document.createElement("a");
      way.href = link;
      way.textContent = "Sign in";
      place.append(" ", way);
    }
  };
  const next = () => encodeURIComponent(location.pathname + location.search);
  return {
    ok: () => show("ok", "Connected"),
    lost: () => show("lost", "The manager does not answer. Trying again."),
    ended: () => show("ended", "Your session has ended.", `${place?.dataset.signIn}?next=${next()}`),
    // A page outlives its session and its manager: what was typed stays, and the reader is told.
    async probe() {
      try {
        const answer = await fetch(place.dataset.probe, { cache: "no-store" });
        if (!answer.ok) this.lost();
        else if (state !== "ended") this.ok();
      } catch {
        this.lost();
      }
    },
  };
})();
if (document.getElementById("conn")) {
  connection.probe();
  setInterval(() => {
    if (!document.hidden) connection.probe();
  }, 3000);
}

// --- Relative times grow older.

const UNITS = [[60, 1, ""], [3600, 60, "min"], [86400, 3600, "h"], [2592000, 86400, "d"]];
setInterval(() => {
  for (const time of document.querySelectorAll("time[datetime]")) {
    if (!/ ago$|^just now$/.test(time.textContent)) continue;
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const unit = UNITS.find(([most]) => seconds < most);
    if (!unit || Number.isNaN(seconds)) continue;
    const text = unit[2] === "" ? "just now" : `${Math.floor(seconds / unit[1])} ${unit[2]} ago`;
    if (time.textContent !== text) time.textContent = text;
  }
}, 30000);

// --- A draft of a prompt outlives the page until it is sent.

for (const area of document.querySelectorAll("textarea[data-draft]")) {
  const key = `draft:${area.dataset.draft}`;
  if (area.value === "") area.value = sessionStorage.getItem(key) || "";
  area.addEventListener("input", () => sessionStorage.setItem(key, area.value));
  area.form.addEventListener("submit", () => sessionStorage.removeItem(key));
}

// --- What changes: [data-refresh] is asked for again, with its tag, while somebody looks.

const EVERY = 2000;
const SLOWEST = 30000;

for (const area of document.querySelectorAll("[data-refresh]")) {
  let tag = area.dataset.tag;
  let wait = EVERY;
  let timer = 0;

  const look = async () => {
    timer = 0;
    try {
      const answer = await fetch(area.dataset.refresh, { headers: { "If-None-Match": tag }, cache: "no-store" });
      if (answer.status === 404) {
        location.reload();
        return;
      }
      if (answer.status === 401) connection.ended();
      else connection.ok();
      if (answer.ok) {
        const text = await answer.text();
        if (!isSelected(area)) {
          put(area, text);
          tag = answer.headers.get("ETag") || "";
        }
      }
      wait = answer.ok || answer.status === 304 ? EVERY : Math.min(wait * 2, SLOWEST);
    } catch {
      connection.lost();
      wait = Math.min(wait * 2, SLOWEST);
    }
    plan();
  };
  const plan = () => {
    if (!document.hidden && timer === 0) timer = setTimeout(look, wait);
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      timer = 0;
    } else {
      wait = 0;
      plan();
    }
  });
  plan();
}

// Whether somebody has marked text in there, which a replacement would take away.
function isSelected(area) {
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed && area.contains(selection.anchorNode);
}

// Replaces the content; what was open, focused or scrolled to stays so, and a new phase is told to screen readers.
function put(area, text) {
  const active = area.contains(document.activeElement) ? document.activeElement : null;
  const focused = active && (active.id ? `#${CSS.escape(active.id)}` : `[href="${CSS.escape(active.getAttribute("href") || "")}"]`);
  const open = [...area.querySelectorAll("details[open]")].map((details) => details.id);
  const before = news(area);
  area.innerHTML = text;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) (area.querySelector(focused) || document.getElementById("content")).focus({ preventScroll: true });
  const after = news(area);
  if (after && after !== before) document.getElementById("news").textContent = after;
}

function news(area) {
  return area.querySelector("[data-news]")?.dataset.news;
}

// --- A short name is suggested from the name until somebody types one.

for (const input of document.querySelectorAll("[data-short-name]")) {
  const from = document.getElementById(input.dataset.shortName);
  let own = input.value !== "";
  input.addEventListener("input", () => {
    own = input.value !== "";
  });
  from.addEventListener("input", () => {
    if (own) return;
    const word = from.value.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^[^a-z]+/, "");
    input.value = word.slice(0, 40).replace(/-+$/, "");
  });
}

// --- A log is followed.

const log = document.getElementById("log");
const button = document.getElementById("follow");
if (log && button) {
  const MOST = 1000000;
  let stop = null;
  button.hidden = false;
  log.scrollTop = log.scrollHeight;

  const follow = async () => {
    stop = new AbortController();
    button.textContent = "Stop following";
    button.setAttribute("aria-pressed", "true");
    try {
      const answer = await fetch(log.dataset.follow, { signal: stop.signal, cache: "no-store" });
      if (!answer.ok) throw new Error((await answer.json()).detail);
      log.textContent = "";
      document.getElementById("log-empty")?.remove();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        append(value);
      }
      append("\n(the log ends here)\n");
    } catch (error) {
      if (error.name !== "AbortError") append(`\n(not followed any more: ${error.message})\n`);
    }
    stop = null;
    button.textContent = "Follow";
    button.setAttribute("aria-pressed", "false");
  };
  // Whoever has scrolled up to read stays there.
  const append = (text) => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(text);
    if (log.textContent.length > MOST) log.textContent = log.textContent.slice(-MOST / 2);
    if (atEnd) log.scrollTop = log.scrollHeight;
  };

  button.addEventListener("click", () => {
    if (stop) stop.abort();
    else follow();
  });
}
