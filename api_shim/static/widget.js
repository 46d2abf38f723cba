// Wireroom's in-app inbox for a page: one script tag, no framework.
//
//     <script src="https://wireroom.example.org/widget.js" data-token="…" async></script>
//
// docs/inbox.md lists what else it takes. What a message says is never run here: text is set as text, and the HTML of a
// body is read by a parser that runs nothing, and rebuilt from the few elements that are allowed.
"use strict";

(() => {
  const NAME = "wireroom-inbox";
  const PAGE = 20;
  const LARGEST_PAGE = 200;
  const REQUESTS_AT_ONCE = 4;
  const REQUEST_MS = 20 * 1000;
  const SILENT_MS = 10 * 1000; // a stream speaks at once: one that does not is held up by something in between
  const POLL_MS = 30 * 1000;
  const HIDDEN_MS = 30 * 1000; // a browser has few connections per server, and a hidden page needs none
  const DAY_S = 24 * 3600;
  const LONGEST_TIMER_MS = 2 ** 31 - 1;

  const TEXTS = {
    title: "Notifications",
    unread: "{count} unread",
    loading: "Loading…",
    empty: "You are all caught up",
    emptyHint: "New notifications appear here.",
    error: "Your notifications cannot be loaded",
    signedOut: "Your session has ended",
    signedOutHint: "Sign in again to see your notifications.",
    retry: "Try again",
    offline: "Connection lost. Trying again…",
    failed: "That did not work. Please try again.",
    more: "Show older",
    readAll: "Mark all as read",
    archive: "Archive",
    close: "Close",
    unsubscribe: "Unsubscribe",
    arrived: "New: {subject}",
    untitled: "(no subject)",
    unreadItem: "Unread",
  };

  // --- What a body may hold

  const WEB = new Set(["http:", "https:"]);
  const LINKS = new Set(["http:", "https:", "mailto:"]);
  const ELEMENTS = new Set(
    ("a b blockquote br code del em h3 h4 h5 h6 hr i ins li mark ol p pre s small strong sub sup u ul").split(" "),
  );
  const SILENT = new Set(
    ("head iframe math noembed noframes noscript object script style svg template textarea title xmp").split(" "),
  );
  const ATTRIBUTES = ["dir", "lang", "title"];
  const DEEPEST = 30;

  // An absolute address of an allowed kind, null for any other.
  function address(text, kinds) {
    try {
      const url = new URL(text);
      return kinds.has(url.protocol) ? url.href : null;
    } catch {
      return null;
    }
  }

  // A page that wants trusted types takes strings for its parser from policies alone, and may refuse us one.
  const policy = (() => {
    try {
      return self.trustedTypes.createPolicy(NAME, { createHTML: (html) => html });
    } catch {
      return { createHTML: (html) => html };
    }
  })();

  function harmless(html) {
    const made = document.createDocumentFragment();
    try {
      const parsed = new DOMParser().parseFromString(policy.createHTML(html), "text/html");
      // Names in the body hide the document's own properties (HTML, section 3.1.7), but not those of its class.
      const body = Document.prototype.querySelector.call(parsed, "body");
      rebuild(document.createTreeWalker(body), made, 0);
    } catch {
      made.textContent = html.replace(/<[^>]*>?/g, " "); // no policy, no parser: the words alone
    }
    return made;
  }

  // Rebuild what is below the walker's node inside of another. A walker's own steps cannot be hidden by names.
  function rebuild(walker, into, depth) {
    if (walker.firstChild() === null) {
      return;
    }
    do {
      const node = walker.currentNode;
      if (node.nodeType === Node.TEXT_NODE) {
        into.append(node.data);
      } else if (node.nodeType === Node.ELEMENT_NODE && !SILENT.has(node.localName)) {
        const keeps = ELEMENTS.has(node.localName) && depth < DEEPEST;
        rebuild(walker, keeps ? into.appendChild(twin(node)) : into, depth + 1);
      }
    } while (walker.nextSibling() !== null);
    walker.parentNode();
  }

  function twin(node) {
    const made = document.createElement(node.localName);
    for (const name of ATTRIBUTES) {
      if (node.hasAttribute(name)) {
        made.setAttribute(name, node.getAttribute(name));
      }
    }
    const href = node.localName === "a" ? address(node.getAttribute("href"), LINKS) : null;
    return href === null ? made : leading(made, href, "_blank");
  }

  function leading(link, href, target) {
    link.href = href;
    link.target = target;
    link.rel = "noopener noreferrer";
    return link;
  }

  // --- Making elements

  function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key.includes("-") || key === "role") {
        made.setAttribute(key, value);
      } else {
        made[key] = value;
      }
    }
    made.append(...children);
    return made;
  }

  function picture(...paths) {
    const space = "http://www.w3.org/2000/svg";
    const made = document.createElementNS(space, "svg");
    made.setAttribute("viewBox", "0 0 24 24");
    made.setAttribute("aria-hidden", "true");
    for (const path of paths) {
      made.appendChild(document.createElementNS(space, "path")).setAttribute("d", path);
    }
    return made;
  }

  const BELL = ["M6 9.5a6 6 0 0 1 12 0c0 5 2 6.5 2 6.5H4s2-1.5 2-6.5", "M10 19.5a2.2 2.2 0 0 0 4 0"];
  const BOX = ["M4 8v11h16V8", "M3 4.5h18V8H3z", "M10 12h4"];
  const CROSS = ["M6 6l12 12", "M18 6L6 18"];

  // --- Asking the server

  class Refused extends Error {
    constructor(status) {
      super(`The server answered ${status}.`);
      this.signedOut = status === 401 || status === 403;
    }
  }

  class Client {
    constructor({ base, token, tokenUrl }) {
      this.base = base;
      this.tokenUrl = tokenUrl;
      this.known = token ? Promise.resolve(token) : null;
    }

    // The token, fetched where none is known.
    token() {
      if (this.known === null) {
        const asked = this.fetchToken();
        this.known = asked;
        asked.catch(() => this.forget(asked));
      }
      return this.known;
    }

    forget(known) {
      if (this.known === known && this.tokenUrl) {
        this.known = null; // whoever asked beside us may have a new one already
      }
    }

    async fetchToken() {
      if (!this.tokenUrl) {
        throw new Refused(401);
      }
      const options = { credentials: "same-origin", cache: "no-store", headers: { Accept: "application/json" } };
      return (await json(this.tokenUrl, options)).token;
    }

    async ask(method, path, keepalive = false) {
      const known = this.token();
      try {
        return await this.askWith(await known, method, path, keepalive);
      } catch (error) {
        if (!error.signedOut || !this.tokenUrl) {
          throw error;
        }
        this.forget(known);
        return this.askWith(await this.token(), method, path, keepalive);
      }
    }

    askWith(token, method, path, keepalive) {
      const headers = { Authorization: `Bearer ${token}` };
      return json(new URL(path, this.base), { method, keepalive, headers, credentials: "omit", cache: "no-store" });
    }

    async stream(cursor) {
      const url = new URL("inbox/stream", this.base);
      url.searchParams.set("token", await this.token());
      url.searchParams.set("after", cursor);
      return new EventSource(url);
    }
  }

  async function json(url, options) {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), REQUEST_MS);
    try {
      const answer = await fetch(url, { ...options, signal: patience.signal });
      if (!answer.ok) {
        throw new Refused(answer.status);
      }
      return await answer.json();
    } finally {
      clearTimeout(timer);
    }
  }

  async function each(values, act) {
    const rest = [...values];
    const one = async () => {
      while (rest.length > 0) {
        await act(rest.shift());
      }
    };
    await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, one));
  }

  // --- The element

  class Inbox extends HTMLElement {
    constructor() {
      super();
      this.attachShadow({ mode: "open" }).adoptedStyleSheets = [style()];
    }

    configure(options) {
      this.options = options;
      this.texts = options.texts;
      this.client = new Client(options);
      this.relative = new Intl.RelativeTimeFormat(options.lang, { numeric: "auto" });
    }

    connectedCallback() {
      if (this.options === undefined) {
        return; // not made by the script
      }
      this.items = [];
      this.rows = new Map();
      this.fresh = new Set();
      this.asked = new Set();
      this.next = null;
      this.unread = 0;
      this.state = "loading";
      this.isOpen = false;
      this.build();
      this.ends = new AbortController();
      this.listenToPage({ signal: this.ends.signal });
      this.render();
      this.follow(this.ends.signal);
    }

    disconnectedCallback() {
      if (this.options !== undefined) {
        this.ends.abort();
        this.seen.disconnect();
        clearTimeout(this.expiry);
        this.shadowRoot.replaceChildren();
      }
    }

    say(name, values = {}) {
      return this.texts[name].replace(/\{(\w+)\}/g, (whole, key) => (key in values ? values[key] : whole));
    }

    // --- Following the server

    // Read the inbox, then listen for as long as that goes; where it does not, read it again every now and then.
    async follow(ends) {
      for (let failures = 0; !ends.aborted; ) {
        await this.whenVisible(ends);
        const heard = (await this.refresh(ends)) && (await this.listen(ends));
        failures = heard ? 0 : failures + 1;
        const wait = Math.min(POLL_MS, 1000 * 2 ** failures);
        await this.pause(wait * (0.5 + Math.random() / 2));
      }
    }

    async refresh(ends) {
      try {
        const limit = Math.min(LARGEST_PAGE, Math.max(PAGE, this.items.length));
        const page = await this.client.ask("GET", `inbox?limit=${limit}`);
        if (ends.aborted) {
          return false;
        }
        this.items = page.items;
        this.next = page.next;
        this.unread = page.unread;
        this.cursor = page.cursor;
        this.state = "ready";
        this.unnote("offline");
        this.asked.clear();
        for (const row of this.rows.values()) {
          this.seen.unobserve(row.article); // observed anew below, where what was shown could not be reported
          this.seen.observe(row.article);
        }
      } catch (error) {
        if (ends.aborted) {
          return false;
        }
        this.state = error.signedOut ? "signedOut" : this.state === "ready" ? "ready" : "failed";
        this.note(this.state === "ready" ? "offline" : "");
      }
      this.render();
      return this.state === "ready" && this.noted !== "offline";
    }

    // Resolves when the stream is of no use any more; true where anything came.
    async listen(ends) {
      let source;
      try {
        source = await this.client.stream(this.cursor);
      } catch {
        return false;
      }
      return new Promise((resolve) => {
        const over = new AbortController();
        const until = { signal: over.signal };
        let heard = false;
        let hidden;
        const end = () => {
          clearTimeout(silence);
          clearTimeout(hidden);
          source.close();
          over.abort();
          resolve(heard);
        };
        const look = () => {
          clearTimeout(hidden);
          hidden = document.visibilityState === "hidden" ? setTimeout(end, HIDDEN_MS) : undefined;
        };
        const hear = (act) => (event) => {
          heard = true;
          clearTimeout(silence);
          silence = null;
          this.cursor = event.lastEventId || this.cursor;
          this.unnote("offline");
          act(JSON.parse(event.data));
          this.render();
        };
        let silence = setTimeout(end, SILENT_MS);
        source.addEventListener("item", hear((item) => this.merge(item)));
        source.addEventListener("inbox", hear(({ unread }) => (this.unread = unread)));
        source.addEventListener("error", () => {
          if (silence === null) {
            this.note("offline");
            silence = setTimeout(end, SILENT_MS); // the browser itself tries again, unless the server refused
          }
          if (source.readyState === EventSource.CLOSED) {
            end();
          }
        });
        document.addEventListener("visibilitychange", look, until);
        self.addEventListener("pagehide", end, until);
        ends.addEventListener("abort", end, until);
        look();
      });
    }

    pause(time) {
      return new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, time);
      });
    }

    whenVisible(ends) {
      return new Promise((resolve) => {
        const look = () => {
          if (document.visibilityState !== "hidden") {
            document.removeEventListener("visibilitychange", look);
            resolve();
          }
        };
        document.addEventListener("visibilitychange", look, { signal: ends });
        look();
      });
    }

    // Take in one item as it stands now.
    merge(item) {
      const at = this.items.findIndex(({ id }) => id === item.id);
      const isGone = item.archivedAt !== null || expired(item);
      if (at >= 0) {
        this.items.splice(at, 1, ...(isGone ? [] : [item]));
        return;
      }
      const older = this.items.findIndex(({ createdAt }) => createdAt <= item.createdAt);
      if (isGone || (older < 0 && this.next !== null)) {
        return; // older than what is shown: it comes with its page
      }
      this.items.splice(older < 0 ? this.items.length : older, 0, item);
      if (item.readAt === null) {
        this.announce(this.say("arrived", { subject: item.subject || this.say("untitled") }));
      }
    }

    async act(item, name, keepalive = false) {
      const answer = await this.client.ask("POST", `inbox/${encodeURIComponent(item.id)}/${name}`, keepalive);
      this.merge(answer.item);
      this.unread = answer.unread;
      this.render();
    }

    // Half of it is, or it fills half of the list.
    isShown({ isIntersecting, intersectionRatio, intersectionRect }) {
      return isIntersecting && (intersectionRatio >= 0.5 || intersectionRect.height >= this.scroller.clientHeight / 2);
    }

    // What was shown was read; where that cannot be told, it is tried again after the next refresh.
    async readShown(ids) {
      const items = this.items.filter(({ id, readAt }) => ids.includes(id) && readAt === null && !this.asked.has(id));
      for (const { id } of items) {
        this.asked.add(id);
        this.fresh.add(id); // it keeps looking new for as long as the panel is open
      }
      await each(items, (item) => this.act(item, "read").catch(() => {}));
    }

    async readAll() {
      this.unnote("failed");
      try {
        for (;;) {
          await each(
            this.items.filter(({ readAt }) => readAt === null),
            (item) => this.act(item, "read"),
          );
          if (this.unread === 0 || this.next === null) {
            return;
          }
          await this.loadMore(LARGEST_PAGE);
        }
      } catch {
        this.note("failed");
      } finally {
        this.fresh.clear();
        this.render();
      }
    }

    async loadMore(limit) {
      const page = await this.client.ask("GET", `inbox?limit=${limit}&before=${encodeURIComponent(this.next)}`);
      const known = new Set(this.items.map(({ id }) => id));
      this.items.push(...page.items.filter(({ id }) => !known.has(id)));
      this.next = page.next;
      this.render();
    }

    // --- What is on the page

    build() {
      const title = element("h2", { id: "title", textContent: this.say("title") });
      this.badge = element("span", { className: "badge", hidden: true, "aria-hidden": "true" });
      this.bell = element(
        "button",
        { type: "button", className: "bell", "aria-haspopup": "dialog", "aria-controls": "panel" },
        picture(...BELL),
        this.badge,
      );
      this.readAllButton = this.button("readAll", "quiet", () => this.readAll());
      const close = this.button("close", "icon", () => this.close());
      close.replaceChildren(picture(...CROSS));
      close.setAttribute("aria-label", this.say("close"));
      this.feed = element("div", { className: "feed", role: "feed", "aria-labelledby": "title" });
      this.more = this.button("more", "more", () => this.showMore());
      this.message = element("div", { className: "message" });
      this.scroller = element("div", { className: "scroller" }, this.message, this.feed, this.more);
      this.footer = element("p", { className: "note", hidden: true });
      this.live = element("div", { className: "sr", role: "status", "aria-live": "polite" });
      this.panel = element(
        "div",
        { id: "panel", className: "panel", role: "dialog", tabIndex: -1, hidden: true, "aria-labelledby": "title" },
        element("div", { className: "head" }, title, this.readAllButton, close),
        this.scroller,
        this.footer,
      );
      this.bell.addEventListener("click", () => (this.isOpen ? this.close() : this.open()));
      // Without a root of ours it is clipped by the scroller and by the window: the panel itself can be scrolled away.
      this.seen = new IntersectionObserver(
        (entries) => this.readShown(entries.filter((entry) => this.isShown(entry)).map(idOf)),
        { threshold: Array.from({ length: 11 }, (_, tenth) => tenth / 10) },
      );
      this.shadowRoot.replaceChildren(this.bell, this.panel, this.live);
      this.classList.toggle("floating", !this.options.mounted);
    }

    button(text, className, act) {
      const made = element("button", { type: "button", className, textContent: this.say(text) });
      made.addEventListener("click", act);
      return made;
    }

    listenToPage(options) {
      document.addEventListener("pointerdown", (event) => event.composedPath().includes(this) || this.hide(), options);
      const leave = ({ relatedTarget }) => relatedTarget === null || relatedTarget === this || this.hide();
      this.addEventListener("focusout", leave, options);
      this.addEventListener("keydown", (event) => this.isOpen && this.onKey(event), options);
      self.addEventListener("online", () => this.wake && this.wake(), options);
    }

    open() {
      const { top, bottom, left, right } = this.bell.getBoundingClientRect();
      this.panel.classList.toggle("above", top + bottom > innerHeight);
      this.panel.classList.toggle("leftward", left + right > innerWidth);
      this.isOpen = true;
      this.rows.forEach(({ tell }) => tell());
      this.render();
      this.panel.focus({ preventScroll: true });
    }

    // Close it, and give back the focus.
    close() {
      this.hide();
      this.bell.focus();
    }

    hide() {
      if (this.isOpen) {
        this.isOpen = false;
        this.fresh.clear();
        this.unnote("failed");
        this.render();
      }
    }

    async showMore() {
      this.unnote("failed");
      const shown = this.items.length;
      this.more.disabled = true;
      try {
        await this.loadMore(PAGE);
        if (this.items.length > shown) {
          this.focusRow(shown);
        }
      } catch {
        this.note("failed");
      } finally {
        this.more.disabled = false;
      }
    }

    retry() {
      this.state = "loading";
      this.render();
      this.panel.focus();
      this.wake();
    }

    // What stands below the list: the name of a text, or nothing.
    note(name) {
      if (this.noted !== name) {
        this.noted = name;
        this.footer.textContent = name && this.say(name);
        this.footer.hidden = !name;
        if (name) {
          this.announce(this.footer.textContent);
        }
      }
    }

    // What failed stays said until something else is done, or the connection is lost: what comes says nothing of it.
    unnote(name) {
      if (this.noted === name) {
        this.note("");
      }
    }

    announce(text) {
      this.live.textContent = text;
    }

    onKey(event) {
      const { key } = event;
      const rows = [...this.feed.children];
      const at = rows.findIndex((row) => row.contains(this.shadowRoot.activeElement));
      const steps = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 1, PageUp: at - 1, Home: 0, End: rows.length - 1 };
      if (key === "Escape") {
        event.stopPropagation();
        this.close();
      } else if (event.ctrlKey || event.metaKey || event.altKey || event.composedPath()[0].matches(".body")) {
        return; // the browser's own, or the scrolling of a long body
      } else if (key in steps && rows.length > 0) {
        event.preventDefault();
        this.focusRow(Math.max(0, Math.min(rows.length - 1, steps[key])));
      } else if (key === "Enter" && rows[at] === this.shadowRoot.activeElement) {
        const link = rows[at].querySelector("h3 a");
        if (link !== null) {
          event.preventDefault();
          link.click();
        }
      }
    }

    focusRow(at) {
      const rows = [...this.feed.children];
      rows.forEach((row, number) => (row.tabIndex = number === at ? 0 : -1));
      rows[at].focus();
    }

    // --- Showing what is

    render() {
      this.items = this.items.filter((item) => !expired(item));
      const count = this.unread > 0 ? this.say("unread", { count: this.unread }) : "";
      this.bell.setAttribute("aria-label", [this.say("title"), count].filter(Boolean).join(", "));
      this.bell.setAttribute("aria-expanded", this.isOpen);
      this.badge.hidden = this.unread === 0;
      this.badge.textContent = this.unread > 99 ? "99+" : this.unread;
      this.panel.hidden = !this.isOpen;
      this.readAllButton.hidden = this.unread === 0;
      this.more.hidden = this.next === null || this.state !== "ready";
      this.feed.hidden = this.items.length === 0 || this.state !== "ready";
      this.feed.setAttribute("aria-busy", this.state === "loading");
      this.renderMessage(this.state === "ready" && this.items.length === 0 && this.next === null ? "empty" : this.state);
      this.renderRows(this.state === "ready" ? this.items : []);
      const ends = this.items.map(({ expiresAt }) => Date.parse(expiresAt)).filter((end) => !Number.isNaN(end));
      clearTimeout(this.expiry);
      if (ends.length > 0) {
        const wait = Math.min(...ends) - Date.now() + 1000;
        this.expiry = setTimeout(() => this.expire(), Math.min(wait, LONGEST_TIMER_MS));
      }
    }

    // What is said where there is no list.
    renderMessage(state) {
      if (this.shows === state) {
        return;
      }
      this.shows = state;
      this.message.className = `message ${state}`;
      this.message.replaceChildren();
      this.message.hidden = state === "ready";
      if (state === "loading") {
        const lines = Array.from({ length: 3 }, () => element("div", { className: "bone" }, element("i"), element("i")));
        this.message.append(element("span", { className: "sr", textContent: this.say("loading") }), ...lines);
      } else if (state === "empty") {
        this.message.append(picture(...BELL), this.line("empty"), this.line("emptyHint"));
      } else if (state === "signedOut") {
        this.message.append(this.line("signedOut"), this.line("signedOutHint"));
      } else if (state === "failed") {
        this.message.append(this.line("error"));
      }
      if (state === "failed" || state === "signedOut") {
        this.message.append(this.button("retry", "solid", () => this.retry()));
        this.announce(this.message.firstChild.textContent);
      }
    }

    line(name) {
      return element("p", { textContent: this.say(name) });
    }

    renderRows(items) {
      const active = this.shadowRoot.activeElement;
      const focused = [...this.feed.children].findIndex((row) => row.contains(active));
      const ids = new Set(items.map(({ id }) => id));
      for (const [id, { article }] of this.rows) {
        if (!ids.has(id)) {
          this.seen.unobserve(article);
          article.remove();
          this.rows.delete(id);
        }
      }
      items.forEach((item, at) => {
        const row = this.rows.get(item.id) || this.row(item);
        row.update(item, at);
        if (this.feed.children[at] !== row.article) {
          this.feed.insertBefore(row.article, this.feed.children[at] || null);
        }
      });
      const rows = [...this.feed.children];
      if (rows.length > 0 && !rows.some(({ tabIndex }) => tabIndex === 0)) {
        rows[0].tabIndex = 0;
      }
      if (focused >= 0 && !active.isConnected) {
        rows.length > 0 ? this.focusRow(Math.min(focused, rows.length - 1)) : this.panel.focus();
      }
    }

    row(first) {
      const { id } = first;
      let item = first;
      const url = first.url === null ? null : address(first.url, WEB);
      const name = first.subject || this.say("untitled");
      const title = url === null ? element("span") : leading(element("a"), url, this.options.target);
      title.textContent = name;
      title.dir = "auto";
      const mark = element("span", { className: "sr", textContent: `${this.say("unreadItem")}: ` });
      const heading = element("h3", { id: `title-${id}` }, mark, title);
      const time = element("time", { dateTime: first.createdAt });
      const body = element("div", { className: `body ${first.format}`, dir: "auto", id: `body-${id}` });
      body.append(first.format === "html" ? harmless(first.body) : first.body);
      const archive = this.button("archive", "icon archive", () => this.archive(item));
      archive.replaceChildren(picture(...BOX));
      archive.setAttribute("aria-label", `${this.say("archive")}: ${name}`);
      archive.title = this.say("archive");
      const words = element("div", { className: "words" }, heading, body, element("p", { className: "meta" }, time));
      const out = first.unsubscribeUrl === null ? null : address(first.unsubscribeUrl, WEB);
      if (out !== null) {
        const text = this.say("unsubscribe");
        const link = element("a", { textContent: text, "aria-label": `${text}: ${name}` });
        words.lastChild.append(leading(link, out, "_blank"));
      }
      const article = element("article", { tabIndex: -1, "aria-labelledby": heading.id, "aria-describedby": body.id });
      article.append(icon(first.icon), words, archive);
      article.dataset.id = id;
      for (const part of [heading, body]) {
        part.addEventListener("click", (event) => this.onLink(event, item));
        part.addEventListener("auxclick", (event) => event.button === 1 && this.onLink(event, item));
      }
      const update = (latest, at) => {
        item = latest;
        const isUnread = item.readAt === null;
        article.classList.toggle("unread", isUnread || this.fresh.has(id));
        mark.hidden = !isUnread;
        article.setAttribute("aria-posinset", at + 1);
        article.setAttribute("aria-setsize", this.next === null ? this.items.length : -1);
        if (!isUnread) {
          this.seen.unobserve(article);
        }
      };
      const tell = () => (time.textContent = this.ago(first.createdAt));
      tell();
      time.title = new Date(first.createdAt).toLocaleString(this.options.lang);
      const made = { article, update, tell };
      this.rows.set(id, made);
      this.seen.observe(article);
      return made;
    }

    // Something has expired, and so is unread no more.
    async expire() {
      this.render();
      try {
        this.unread = (await this.client.ask("GET", "inbox?limit=1")).unread;
        this.render();
      } catch {
        // The next answer says it.
      }
    }

    async archive(item) {
      this.unnote("failed");
      try {
        await this.act(item, "archive");
      } catch {
        this.note("failed");
      }
    }

    // A link of a message was followed. The page may take that over: it cancels the event and goes there itself.
    onLink(event, item) {
      const link = event.target.closest("a[href]");
      if (link === null) {
        return;
      }
      const detail = { item, url: link.href };
      const asks = new CustomEvent("wireroom:click", { bubbles: true, composed: true, cancelable: true, detail });
      if (!this.dispatchEvent(asks)) {
        event.preventDefault();
        this.hide();
      }
      this.act(item, "click", true).catch(() => {}); // the person is on the way already
    }

    ago(time) {
      const seconds = (Date.parse(time) - Date.now()) / 1000;
      const units = [
        ["minute", 60],
        ["hour", 3600],
        ["day", DAY_S],
      ];
      const [unit, length] = units.filter(([, each]) => -seconds >= each).pop() || ["minute", Infinity];
      if (-seconds > 7 * DAY_S) {
        return new Date(time).toLocaleDateString(this.options.lang, { day: "numeric", month: "short", year: "numeric" });
      }
      return this.relative.format(Math.round(seconds / length) || 0, unit);
    }
  }

  function expired({ expiresAt }) {
    return expiresAt !== null && Date.parse(expiresAt) <= Date.now();
  }

  // Half of it, or half of the list; what is not displayed at all has half of no height.
  function idOf({ target }) {
    return target.dataset.id;
  }

  function icon(url) {
    const src = url === null ? null : address(url, WEB);
    if (src === null) {
      return element("span", { className: "dot" });
    }
    const image = element("img", { className: "picture", alt: "", loading: "lazy", referrerPolicy: "no-referrer" });
    image.addEventListener("error", () => image.replaceWith(icon(null)));
    image.src = src;
    return element("span", { className: "dot pictured" }, image);
  }

  // --- How it looks

  // A sheet that a script makes needs no style-src of the page's policy.
  function style() {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS_TEXT);
    return sheet;
  }

  const DARK = `
    --bg: var(--wireroom-background, #1c1f24); --fg: var(--wireroom-text, #eceef1);
    --soft: var(--wireroom-muted, #a4acb8); --line: var(--wireroom-line, #32373f);
    --accent: var(--wireroom-accent, #8fabff); --on: var(--wireroom-on-accent, #10131a);
    --hover: var(--wireroom-hover, #262a31); --fresh: var(--wireroom-unread, #222838);
    --shadow: 0 12px 40px rgb(0 0 0 / 55%); color-scheme: dark;`;
  const CSS_TEXT = `
    :host {
      all: initial; display: inline-block; position: relative; z-index: var(--wireroom-z-index, 2147483000);
      font: 400 14px/1.45 var(--wireroom-font, system-ui, sans-serif);
      --bg: var(--wireroom-background, #fff); --fg: var(--wireroom-text, #1a1d21);
      --soft: var(--wireroom-muted, #5a6270); --line: var(--wireroom-line, #e4e7eb);
      --accent: var(--wireroom-accent, #2f54d0); --on: var(--wireroom-on-accent, #fff);
      --hover: var(--wireroom-hover, #f4f6f8); --fresh: var(--wireroom-unread, #f0f4ff);
      --shadow: 0 12px 40px rgb(16 24 40 / 18%); --radius: var(--wireroom-radius, 14px);
      color: var(--fg); color-scheme: light; -webkit-text-size-adjust: 100%;
    }
    :host(.floating) { position: fixed; inset-block-end: 20px; inset-inline-end: 20px; }
    :host(.dark) {${DARK}}
    @media (prefers-color-scheme: dark) { :host(:not(.light)) {${DARK}} }
    *, ::before { box-sizing: border-box; }
    [hidden] { display: none !important; }
    h2, h3, p { margin: 0; font: inherit; }
    button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
    button:disabled { opacity: .5; cursor: default; }
    a { color: var(--accent); text-underline-offset: 2px; }
    svg { width: 20px; height: 20px; fill: none; stroke: currentColor; stroke-width: 1.8;
      stroke-linecap: round; stroke-linejoin: round; display: block; }
    :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
    .sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    .bell { position: relative; display: grid; place-items: center; width: 40px; height: 40px; border-radius: 50%;
      color: var(--wireroom-bell, currentColor); transition: background-color .15s; }
    .bell:hover, .bell[aria-expanded=true] { background: var(--hover); }
    .bell svg { width: 23px; height: 23px; }
    :host(.floating) .bell { width: 52px; height: 52px; background: var(--bg); border: 1px solid var(--line);
      box-shadow: 0 4px 16px rgb(16 24 40 / 16%); }
    :host(.floating) .bell:hover { background: var(--hover); }
    .badge { position: absolute; inset-block-start: 1px; inset-inline-end: 0; min-width: 18px; height: 18px;
      padding: 0 5px; border-radius: 9px; background: var(--wireroom-badge, #cf222e); color: #fff;
      font-size: 11px; font-weight: 650; line-height: 18px; text-align: center; font-variant-numeric: tabular-nums;
      box-shadow: 0 0 0 2px var(--bg); }
    .panel { position: absolute; inset-block-start: calc(100% + 8px); left: 0; width: min(390px, 100vw - 32px);
      max-height: min(580px, 100vh - 110px); display: flex; flex-direction: column; overflow: hidden;
      background: var(--bg); border: 1px solid var(--line); border-radius: var(--radius); box-shadow: var(--shadow);
      animation: appear .14s ease-out; outline: none; }
    .panel.above { inset-block-start: auto; inset-block-end: calc(100% + 12px); }
    .panel.leftward { left: auto; right: 0; }
    @keyframes appear { from { opacity: 0; transform: translateY(4px); } }
    .head { display: flex; align-items: center; gap: 4px; padding: 10px 10px 10px 18px;
      border-block-end: 1px solid var(--line); }
    h2 { flex: 1; font-size: 16px; font-weight: 650; }
    .quiet { color: var(--accent); padding: 6px 8px; border-radius: 8px; font-size: 13px; }
    .quiet:hover, .icon:hover { background: var(--hover); }
    .icon { display: grid; place-items: center; flex: none; width: 32px; height: 32px; border-radius: 8px;
      color: var(--soft); }
    .icon:hover { color: var(--fg); }
    .icon svg { width: 18px; height: 18px; }
    .scroller { overflow: auto; overscroll-behavior: contain; min-height: 0; }
    article { position: relative; display: flex; gap: 10px; padding: 13px 10px 13px 18px; outline-offset: -3px;
      border-block-end: 1px solid var(--line); }
    article:last-child { border-block-end: 0; }
    article:hover { background: var(--hover); }
    article.unread { background: var(--fresh); }
    .dot { flex: none; width: 8px; padding-block-start: 6px; position: relative; }
    .dot.pictured { width: 36px; padding: 2px 0 0; }
    .picture { width: 36px; height: 36px; border-radius: 9px; object-fit: cover; display: block; }
    .unread .dot::before { content: ""; display: block; width: 8px; height: 8px; border-radius: 50%;
      background: var(--accent); }
    .unread .pictured::before { position: absolute; inset-block-start: -1px; inset-inline-start: -3px; z-index: 1;
      box-shadow: 0 0 0 2px var(--fresh); }
    .words { flex: 1; min-width: 0; overflow-wrap: anywhere; }
    h3 { font-weight: 500; }
    .unread h3 { font-weight: 650; }
    h3 a { color: inherit; text-decoration: none; }
    h3 a:hover { text-decoration: underline; }
    .body { margin-block-start: 2px; color: var(--soft); max-height: 14em; overflow: auto; }
    .body:empty { display: none; }
    .body.text { white-space: pre-line; }
    .body :is(p, ul, ol, pre, blockquote, h3, h4, h5, h6) { margin: 0 0 .45em; }
    .body :is(h3, h4, h5, h6, b, strong) { color: var(--fg); font-weight: 600; }
    .body > :last-child { margin-block-end: 0; }
    .body :is(ul, ol) { padding-inline-start: 1.4em; }
    .body blockquote { border-inline-start: 3px solid var(--line); padding-inline-start: .7em; }
    .body :is(code, pre) { font: 12.5px/1.5 ui-monospace, monospace; white-space: pre-wrap; }
    .body hr { border: 0; border-block-start: 1px solid var(--line); }
    .meta { display: flex; gap: 12px; margin-block-start: 5px; font-size: 12px; color: var(--soft); }
    .meta a { color: inherit; opacity: 0; text-decoration: none; }
    article:hover .meta a, article:focus-within .meta a { opacity: 1; text-decoration: underline; }
    .archive { opacity: 0; }
    article:hover .archive, article:focus-within .archive { opacity: 1; }
    @media (hover: none) { .archive, .meta a { opacity: 1; } }
    .more { display: block; width: 100%; padding: 13px; color: var(--accent); border-block-start: 1px solid var(--line);
      outline-offset: -3px; }
    .more:hover { background: var(--hover); }
    .message { padding: 44px 24px; text-align: center; color: var(--soft); }
    .message p:first-of-type { color: var(--fg); font-weight: 600; }
    .message svg { width: 40px; height: 40px; margin: 0 auto 12px; stroke-width: 1.3; }
    .message.loading { padding: 4px 18px; }
    .bone { padding: 14px 0; }
    .bone i { display: block; height: 10px; border-radius: 5px; background: var(--line); margin: 6px 0; width: 45%;
      animation: breathe 1.4s ease-in-out infinite alternate; }
    .bone i + i { width: 90%; }
    @keyframes breathe { to { opacity: .45; } }
    .solid { margin-block-start: 16px; padding: 8px 16px; border-radius: 9px; background: var(--accent);
      color: var(--on); font-weight: 600; }
    .note { padding: 8px 18px; font-size: 13px; color: var(--soft); border-block-start: 1px solid var(--line); }
    @media (max-width: 480px) {
      .panel, .panel.above, .panel.leftward { position: fixed; inset: 0; width: auto; max-height: none; border: 0;
        border-radius: 0; padding-block-end: env(safe-area-inset-bottom); }
      .scroller { flex: 1; }
    }
    @media (prefers-reduced-motion: reduce) { *, ::before { animation: none !important; transition: none !important; } }
    @media (forced-colors: active) { .badge, .solid, .bell { border: 1px solid; } .unread .dot::before { background: Highlight; } }
  `;

  // --- The script tag

  function optionsOf(tag) {
    const { token, tokenUrl, mount, target, theme, lang } = tag.dataset;
    const texts = { ...TEXTS, ...(self.wireroomInbox || {}).texts };
    for (const name of Object.keys(TEXTS)) {
      const given = tag.dataset[`text${name[0].toUpperCase()}${name.slice(1)}`];
      texts[name] = given === undefined ? texts[name] : given;
    }
    return {
      base: new URL(".", tag.src),
      token,
      tokenUrl,
      mount,
      mounted: mount !== undefined,
      target: target === "_self" ? "_self" : "_blank",
      theme,
      lang: known(lang) || known(document.documentElement.lang),
      texts,
    };
  }

  // A language tag that dates can be written in, undefined for any other.
  function known(tag) {
    try {
      return Intl.getCanonicalLocales(tag)[0];
    } catch {
      return undefined;
    }
  }

  function start(options) {
    const place = options.mounted ? document.querySelector(options.mount) : document.body;
    if (place === null) {
      console.error(`Wireroom's inbox: the page has no ${options.mount}`);
      return;
    }
    document.querySelectorAll(NAME).forEach((earlier) => earlier.remove());
    const made = document.createElement(NAME);
    made.configure(options);
    if (options.theme === "dark" || options.theme === "light") {
      made.classList.add(options.theme);
    }
    place.append(made);
  }

  const options = optionsOf(document.currentScript); // only while this runs
  if (customElements.get(NAME) === undefined) {
    customElements.define(NAME, Inbox);
  }
  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", () => start(options), { once: true });
  } else {
    start(options);
  }
})();
