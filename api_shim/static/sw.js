// Wireroom's part of a site's service worker. The site's own worker needs one line:
//
//     importScripts("https://wireroom.example.org/sw.js");
//
// It shows what Wireroom sends, each message once, and reports what the person does with it: "clicked"; "closed", when
// they dismiss it; and with both "opened", since by then they have seen it. That a notification was displayed proves
// nothing of the kind, so that alone is not reported. Pushes of others, and their notifications, are left alone.
"use strict";

(() => {
  const DATABASE = "wireroom";
  const SEEN = "seen";
  // A push service keeps a message for four weeks at most; a repeat cannot come later.
  const REMEMBERED_MS = 35 * 24 * 3600 * 1000;

  self.addEventListener("push", (event) => {
    const message = read(event.data);
    if (message !== null) {
      event.waitUntil(show(message));
    }
  });

  self.addEventListener("notificationclick", (event) => {
    const message = ours(event.notification);
    if (message !== null) {
      event.notification.close();
      event.waitUntil(Promise.all([report(message, ["opened", "clicked"]), visit(message.url)]));
    }
  });

  self.addEventListener("notificationclose", (event) => {
    const message = ours(event.notification);
    if (message !== null) {
      event.waitUntil(report(message, ["opened", "closed"]));
    }
  });

  function read(data) {
    try {
      const message = data.json();
      return typeof message.messageId === "string" ? message : null;
    } catch {
      return null; // not ours
    }
  }

  function ours(notification) {
    const data = notification.data;
    return data !== null && typeof data === "object" && data.wireroom ? data.wireroom : null;
  }

  async function show(message) {
    if (!(await isFirst(message.messageId))) {
      return;
    }
    const title = message.title || message.body || self.location.host;
    const options = {
      body: message.title ? message.body : undefined,
      icon: webAddress(message.icon) || undefined,
      tag: message.messageId,
      renotify: false,
      data: {
        wireroom: { messageId: message.messageId, url: message.url, beacon: message.beacon, report: message.report },
      },
    };
    try {
      await self.registration.showNotification(title, options);
    } catch (error) {
      await forget(message.messageId); // it was not shown: a repeat may be
      throw error;
    }
  }

  async function visit(url) {
    const target = webAddress(url) || self.registration.scope;
    for (const page of await self.clients.matchAll({ type: "window", includeUncontrolled: true })) {
      if (page.url === target) {
        return page.focus();
      }
    }
    return self.clients.openWindow(target);
  }

  // An address that a browser may open or load, null where it is none: never javascript:, data: or file:.
  function webAddress(text) {
    if (typeof text !== "string" || text === "") {
      return null;
    }
    try {
      const url = new URL(text, self.registration.scope);
      return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
    } catch {
      return null;
    }
  }

  async function report(message, types) {
    const beacon = webAddress(message.beacon);
    const wanted = Array.isArray(message.report) ? message.report : [];
    if (beacon === null) {
      return;
    }
    const at = new Date().toISOString();
    const sends = types
      .filter((type) => wanted.includes(type))
      .map((type) =>
        // A text, so that no preflight has to come first: the browser may end this worker any moment.
        fetch(beacon, {
          method: "POST",
          body: JSON.stringify({ type, at }),
          keepalive: true,
          mode: "cors",
          credentials: "omit",
          referrerPolicy: "no-referrer",
        }),
      );
    await Promise.allSettled(sends); // nobody is there to be told
  }

  // --- Which messages were shown

  function done(request) {
    return new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }

  async function opened() {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(SEEN, { keyPath: "id" }).createIndex("at", "at");
    };
    return done(request);
  }

  // Whether the message was never shown here; from now on it was. One transaction: two pushes may come at once.
  async function isFirst(id) {
    let database;
    try {
      database = await opened();
    } catch {
      return true; // without a store, rather twice than never
    }
    try {
      const transaction = database.transaction(SEEN, "readwrite");
      const seen = transaction.objectStore(SEEN);
      const past = seen.index("at").openCursor(IDBKeyRange.upperBound(Date.now() - REMEMBERED_MS));
      past.onsuccess = () => {
        if (past.result !== null) {
          past.result.delete();
          past.result.continue();
        }
      };
      const known = await done(seen.get(id));
      if (known === undefined) {
        await done(seen.add({ id, at: Date.now() }));
      }
      return known === undefined;
    } catch {
      return true;
    } finally {
      database.close();
    }
  }

  async function forget(id) {
    try {
      const database = await opened();
      await done(database.transaction(SEEN, "readwrite").objectStore(SEEN).delete(id));
      database.close();
    } catch {
      // Then a repeat is not shown either.
    }
  }
})();
