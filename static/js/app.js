// What the console adds when script runs. Every page works without it.
(() => {
  "use strict";
  const html = document.documentElement;
  html.classList.add("js");

  // ── dialogs: the link's own address is fetched and its <dialog> shown over this page ──
  const headers = { "HX-Request": "true", "X-Dialog": "1" };

  function findDialog(text) {
    return new DOMParser().parseFromString(text, "text/html").querySelector("dialog.dialog");
  }

  function focusFirst(box) {
    const bad = box.querySelector("[aria-invalid=true]");
    const first = box.querySelector(".dialog-body :is(input:not([type=hidden]):not(.sr), select, textarea):not([disabled])");
    (bad || first || box.querySelector(".dialog-foot .btn-primary, .dialog-foot .btn"))?.focus();
  }

  function showDialog(fresh, address, opener) {
    const box = document.importNode(fresh, true);
    box.removeAttribute("open");
    box.dataset.address = address;
    document.body.append(box);
    box.addEventListener("close", () => { box.remove(); opener?.focus(); });
    box.showModal();
    focusFirst(box);
  }

  async function openDialog(address, opener) {
    try {
      const answer = await fetch(address, { headers, credentials: "same-origin" });
      const box = findDialog(await answer.text());
      if (!answer.ok || answer.redirected || !box) { location.assign(address); return; }
      showDialog(box, address, opener);
    } catch { location.assign(address); }
  }

  async function sendDialog(box, form, button) {
    const data = new FormData(form, button);
    const action = button?.getAttribute("formaction") || form.getAttribute("action") || box.dataset.address || location.href;
    const body = form.enctype === "multipart/form-data" ? data : new URLSearchParams(data);
    button?.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(action, { method: "POST", body, headers, credentials: "same-origin" });
      const to = answer.headers.get("HX-Redirect");
      if (to) { location.assign(to); return; }
      const fresh = findDialog(await answer.clone().text());
      if (!fresh) { showAnswer(await answer.text()); return; }
      box.replaceChildren(...document.importNode(fresh, true).childNodes);
      focusFirst(box);
    } catch {
      // The network failed: let the browser send the form and show what it can.
      form.submit();
    }
  }

  // An answer without a dialog (an error page) takes the place of this page's main part.
  function showAnswer(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const main = page.querySelector("main");
    document.querySelectorAll("dialog[open]").forEach((d) => d.close());
    if (main) document.querySelector("main")?.replaceWith(document.importNode(main, true));
    document.title = page.title || document.title;
    document.querySelector("main h1, main h2")?.scrollIntoView();
  }

  function closeDialog(box, link) {
    // A dialog that came with the page has an address of its own: leave it.
    if (box.dataset.address) box.close();
    else if (link?.href) location.assign(link.href);
  }

  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest?.("a[data-dialog]");
    if (link) {
      event.preventDefault();
      const menu = link.closest("details.menu");
      if (menu) menu.open = false;
      openDialog(link.href, menu ? menu.querySelector("summary") : link);
      return;
    }
    const close = event.target.closest?.("a[data-close]");
    const box = close?.closest("dialog");
    if (box) { event.preventDefault(); closeDialog(box, close); }
  });

  document.addEventListener("submit", (event) => {
    const box = event.target.closest?.("dialog");
    if (!box || !box.dataset.address || event.target.method !== "post") return;
    event.preventDefault();
    sendDialog(box, event.target, event.submitter);
  });

  // A dialog served open becomes modal: focus stays inside, Escape leaves.
  document.querySelectorAll("dialog.dialog[open]").forEach((box) => {
    box.close();
    box.showModal();
    box.addEventListener("cancel", (event) => {
      event.preventDefault();
      closeDialog(box, box.querySelector("a[data-close]"));
    });
    focusFirst(box);
  });

  // ── copy buttons ──
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button[data-copy]");
    if (!button) return;
    if (!await copyText(button.dataset.copy)) return;
    const use = button.querySelector("use");
    const sprite = use?.getAttribute("href");
    button.dataset.done = "";
    use?.setAttribute("href", sprite.replace(/#.*/, "#check"));
    announce(button.dataset.copied || "");
    setTimeout(() => { delete button.dataset.done; use?.setAttribute("href", sprite); }, 2000);
  });

  async function copyText(text) {
    try { await navigator.clipboard.writeText(text); return true; } catch { /* plain HTTP has no clipboard */ }
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr";
    (document.querySelector("dialog:modal") || document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }

  function announce(text) {
    let box = document.getElementById("announce");
    if (!box) {
      box = document.createElement("div");
      box.id = "announce";
      box.className = "sr";
      box.setAttribute("role", "status");
      document.body.append(box);
    }
    box.textContent = text;
  }

  // ── navigation drawer and menus ──
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details.menu[open], details.app-pick[open]");
    if (menu) { menu.open = false; menu.querySelector("summary").focus(); return; }
    if (location.hash === "#nav") { location.hash = "#main"; document.querySelector(".top-menu")?.focus(); }
  });
  document.addEventListener("click", (event) => {
    document.querySelectorAll("details.menu[open], details.app-pick[open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
    if (location.hash === "#nav" && !event.target.closest?.("#nav, .top-menu")) location.hash = "#main";
  });
  addEventListener("hashchange", () => {
    if (location.hash === "#nav") document.querySelector("#nav .side-link")?.focus();
  });

  // ── toasts leave by themselves, unless pointed at ──
  document.querySelectorAll(".toast").forEach((toast) => {
    let timer = setTimeout(() => toast.remove(), 8000);
    toast.addEventListener("mouseenter", () => clearTimeout(timer));
    toast.addEventListener("mouseleave", () => { timer = setTimeout(() => toast.remove(), 4000); });
    toast.querySelector("button")?.addEventListener("click", () => toast.remove());
  });
  document.querySelectorAll("[data-announce]").forEach((el) => setTimeout(() => announce(el.dataset.announce), 300));

  // ── lists that refresh themselves: not while nobody looks, and not for ever, because
  // each look keeps the session alive ──
  const idleLimit = 10 * 60 * 1000;
  let touched = Date.now();
  ["pointerdown", "keydown"].forEach((name) => addEventListener(name, () => { touched = Date.now(); }, true));
  const polled = document.querySelector("[data-poll]");
  if (polled) {
    const timer = setInterval(() => {
      const list = document.querySelector("[data-poll]");
      if (!list) { clearInterval(timer); return; }
      if (Date.now() - touched > idleLimit) {
        clearInterval(timer);
        list.querySelector("[data-poll-ended]")?.removeAttribute("hidden");
        return;
      }
      // Not under a dialog, where the list cannot be seen.
      if (!document.hidden && !document.querySelector("dialog[open]")) list.dispatchEvent(new CustomEvent("hongyan-poll"));
    }, Number(polled.dataset.poll));
  }

  // ── forms ──
  document.addEventListener("change", (event) => {
    const input = event.target;
    // A filter applies itself when changed.
    if (input.matches?.("[data-autosubmit]")) { input.form?.requestSubmit(); return; }
    // A chosen file shows its name in the drop field.
    if (input.type === "file") {
      const name = input.closest(".drop")?.querySelector("[data-filename]");
      if (name) name.textContent = [...input.files].map((f) => f.name).join(", ") || name.dataset.filename;
    }
  });
  // One submit only; the button says that it works.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    const button = event.submitter;
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    if (event.target.method !== "post") return;
    event.target.dataset.sent = "1";
    button?.setAttribute("aria-busy", "true");
  });
  addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-sent]").forEach((form) => {
      delete form.dataset.sent;
      form.querySelectorAll("[aria-busy]").forEach((b) => b.removeAttribute("aria-busy"));
    });
  });
  if (!document.querySelector("dialog[open]")) document.querySelector("main [aria-invalid=true]")?.focus();
})();
