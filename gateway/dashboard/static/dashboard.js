"use strict";
// Shows what the server sends as it changes, and asks it to cancel and resume. The token comes with
// the part of the address that browsers send to nobody, and is kept for this tab alone.
(() => {
  const key = "qiskit-gateway token";
  const match = /^#token=([\w-]+)$/.exec(location.hash);
  if (match) {
    sessionStorage.setItem(key, match[1]);
    history.replaceState(null, "", location.pathname);
  }
  const element = (id) => document.getElementById(id);
  const tell = (text) => { element("told").textContent = text; };

  // Whoever reads or uses a part must not lose their place because it changes.
  function replace(id, html) {
    const part = element(id);
    if (!part) return;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...part.querySelectorAll("details[open]")].map((one) => one.id);
    part.innerHTML = html;
    for (const one of open) { if (element(one)) element(one).open = true; }
    if (focused && element(focused)) element(focused).focus({ preventScroll: true });
  }

  function live(on, text) {
    element("live").className = on ? "live on" : "live off";
    element("live").textContent = text;
  }

  const run = /^\/runs\/([^/]+)$/.exec(location.pathname);
  const source = new EventSource(run ? "/events?run=" + run[1] : "/events");
  source.addEventListener("open", () => live(true, "live"));
  source.addEventListener("error", () => live(false, "not live: the dashboard does not answer"));
  source.addEventListener("trouble", (event) => live(false, JSON.parse(event.data)));
  source.addEventListener("parts", (event) => {
    live(true, "live");
    const parts = Object.entries(JSON.parse(event.data));
    // A page made while there was nothing to show, as of a journal that was away, has no place for it.
    if (!parts.some(([id]) => element(id))) location.reload();
    for (const [id, html] of parts) replace(id, html);
  });

  const questions = {
    cancel: "Cancel this run? What has arrived is kept; providers are asked to cancel their jobs.",
    resume: "Resume this run in the process of the dashboard? It may send jobs that cost money.",
  };

  function confirmed(action) {
    const dialog = element("ask");
    const known = Boolean(sessionStorage.getItem(key));
    element("question").textContent = questions[action];
    element("token").hidden = element("token-label").hidden = known;
    element("token").value = "";
    dialog.returnValue = "no";
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => {
        if (!known && element("token").value) sessionStorage.setItem(key, element("token").value);
        resolve(dialog.returnValue === "yes");
      }, { once: true });
    });
  }

  async function act(button) {
    const { action, run: id } = button.dataset;
    if (!(await confirmed(action))) return;
    button.disabled = true;
    tell("...");
    try {
      const answer = await fetch(`/runs/${encodeURIComponent(id)}/${action}`, {
        method: "POST",
        headers: { Authorization: "Bearer " + (sessionStorage.getItem(key) || "") },
      });
      if (answer.status === 401) sessionStorage.removeItem(key);
      tell((await answer.json()).message);
    } catch {
      tell("The dashboard does not answer.");
    } finally {
      button.disabled = false;
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-action]");
    if (button) act(button);
  });
})();
