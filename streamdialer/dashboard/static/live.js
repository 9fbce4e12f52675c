// Keeps what is shown fresh: fetches the page again and changes what has changed, so that focus, ticks and place stay.
"use strict";

// A form that is sent twice within three seconds was meant once: a double click.
const sent = new WeakMap();
document.addEventListener("submit", (event) => {
  if (event.timeStamp < sent.get(event.target) + 3000) event.preventDefault();
  else sent.set(event.target, event.timeStamp);
});

(() => {
  const live = document.getElementById("live");
  const offline = document.getElementById("offline");
  if (!live) return;

  // Not `.id`: a form gives its field of that name.
  const idOf = (node) => node.getAttribute?.("id");
  const alike = (here, wanted) => here.nodeName === wanted.nodeName && !idOf(here) && !idOf(wanted);

  // Takes it out; returns what came after it.
  function without(gone) {
    const next = gone.nextSibling;
    gone.remove();
    return next;
  }

  // Makes `here` what `wanted` is; elements with an id stay the same element wherever they go.
  function become(here, wanted) {
    if (here.nodeType !== Node.ELEMENT_NODE) {
      if (here.nodeValue !== wanted.nodeValue) here.nodeValue = wanted.nodeValue;
      return;
    }
    for (const { name } of [...here.attributes]) {
      if (!wanted.hasAttribute(name)) here.removeAttribute(name);
    }
    for (const { name, value } of wanted.attributes) {
      if (here.getAttribute(name) !== value) here.setAttribute(name, value);
    }
    let child = here.firstChild;
    const wantedIds = new Set([...wanted.children].map(idOf).filter(Boolean));
    for (const next of [...wanted.childNodes]) {
      const known = idOf(next) ? [...here.children].find((each) => idOf(each) === idOf(next)) : null;
      // What is gone goes first: then what stays need not move, and moving takes the focus away.
      while (child && child !== known && !wantedIds.has(idOf(child)) && (known || idOf(child))) child = without(child);
      if (known && known !== child) {
        here.insertBefore(known, child);
        become(known, next);
      } else if (child && (known || alike(child, next))) {
        const present = child;
        child = child.nextSibling;
        become(present, next);
      } else {
        here.insertBefore(document.importNode(next, true), child);
      }
    }
    while (child) child = without(child);
  }

  async function refresh() {
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (answer.redirected || answer.status === 404) {
        location.reload();
        return;
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      if (fresh) become(live, fresh);
      offline.hidden = fresh !== null;
    } catch {
      offline.hidden = false;
    }
  }

  async function keepFresh() {
    if (!document.hidden) await refresh();
    setTimeout(keepFresh, Number(live.dataset.every));
  }

  setTimeout(keepFresh, Number(live.dataset.every));
})();
