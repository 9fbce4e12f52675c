// Keeps what is shown fresh: fetches the page again and changes what has changed, so that focus, ticks and place stay.
"use strict";

(() => {
  const live = document.getElementById("live");
  const offline = document.getElementById("offline");
  if (!live) return;

  // Not `.id`: a form gives its field of that name.
  const idOf = (node) => node.getAttribute?.("id");
  const alike = (here, wanted) => here.nodeName === wanted.nodeName && !idOf(here) && !idOf(wanted);

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
    for (const next of [...wanted.childNodes]) {
      const known = idOf(next) ? [...here.children].find((each) => idOf(each) === idOf(next)) : null;
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
    while (child) {
      const gone = child;
      child = child.nextSibling;
      gone.remove();
    }
  }

  async function refresh() {
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, cache: "no-store" });
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
