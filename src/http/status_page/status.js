"use strict";

// Keeps the figures on the status page up to date. Without it, the page shows those of the
// moment at which it was loaded.
(() => {
  const live = document.getElementById("live");
  const link = document.getElementById("link");
  // The time until another try if the broker takes no more readers.
  const PAUSE_MS = 30_000;
  let events = null;
  let pause = null;

  const show = (event) => {
    const selection = document.getSelection();
    // Replacing the text would undo the selection of whoever is copying it.
    if (selection === null || selection.isCollapsed) {
      live.innerHTML = event.data;
    }
  };

  const open = () => {
    events = new EventSource("/status/events");
    events.onopen = () => {
      link.textContent = "Live";
    };
    events.onmessage = show;
    events.onerror = () => {
      link.textContent = "Not live";
      // After a refusal, the browser does not try again by itself.
      if (events.readyState === EventSource.CLOSED) {
        pause = setTimeout(open, PAUSE_MS * (1 + Math.random()));
      }
    };
  };

  const close = () => {
    clearTimeout(pause);
    events?.close();
  };

  // A page that nobody sees needs no figures, and a browser has few connections.
  const follow = () => {
    close();
    if (!document.hidden) {
      open();
    }
  };

  document.addEventListener("visibilitychange", follow);
  follow();
})();
