// Keeps the page fresh: fetches it again and changes only what differs, so that focus, checkboxes and scrolling stay.
"use strict";

// A form sent again within three seconds is a double click: send it once.
const sent = new WeakMap();
document.addEventListener("submit", (event) => {
  if (event.timeStamp < sent.get(event.target) + 3000) event.preventDefault();
  else sent.set(event.target, event.timeStamp);
});

// The server writes times in the time zone that the browser names.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const isNewZone = zone && !document.cookie.split("; ").includes(`zone=${encodeURIComponent(zone)}`);
if (isNewZone) document.cookie = `zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; SameSite=Strict`;

(() => {
  const live = document.getElementById("live");
  const offline = document.getElementById("offline");
  if (!live) return;

  // Not `.id`: on a form that is its field named id.
  const idOf = (node) => node.getAttribute?.("id");
  const isReusable = (node, target) => node.nodeName === target.nodeName && !idOf(node) && !idOf(target);

  // Removes the node; returns its next sibling.
  function removed(node) {
    const next = node.nextSibling;
    node.remove();
    return next;
  }

  // Makes `node` equal to `target`; an element with an id stays the same element wherever it moves.
  function morph(node, target) {
    if (node.nodeType !== Node.ELEMENT_NODE) {
      if (node.nodeValue !== target.nodeValue) node.nodeValue = target.nodeValue;
      return;
    }
    for (const { name } of [...node.attributes]) {
      if (!target.hasAttribute(name)) node.removeAttribute(name);
    }
    for (const { name, value } of target.attributes) {
      if (node.getAttribute(name) !== value) node.setAttribute(name, value);
    }
    let child = node.firstChild;
    const targetIds = new Set([...target.children].map(idOf).filter(Boolean));
    for (const next of [...target.childNodes]) {
      const known = idOf(next) ? [...node.children].find((each) => idOf(each) === idOf(next)) : null;
      // Remove first what is gone: then the rest need not move, and moving an element takes its focus away.
      while (child && child !== known && !targetIds.has(idOf(child)) && (known || idOf(child))) child = removed(child);
      if (known && known !== child) {
        node.insertBefore(known, child);
        morph(known, next);
      } else if (child && (known || isReusable(child, next))) {
        const present = child;
        child = child.nextSibling;
        morph(present, next);
      } else {
        node.insertBefore(document.importNode(next, true), child);
      }
    }
    while (child) child = removed(child);
  }

  async function refresh() {
    try {
      const response = await fetch(location.href, { headers: { "X-Live": "1" }, cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (response.redirected || response.status === 404) {
        location.reload();
        return;
      }
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.getElementById("live");
      if (fresh) morph(live, fresh);
      offline.hidden = fresh !== null;
    } catch {
      offline.hidden = false;
    }
  }

  async function keepFresh() {
    if (!document.hidden) await refresh();
    setTimeout(keepFresh, Number(live.dataset.every));
  }

  if (isNewZone) keepFresh();
  else setTimeout(keepFresh, Number(live.dataset.every));
})();
