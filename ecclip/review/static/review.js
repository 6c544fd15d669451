// One key per choice: the page works without it, by mouse or Tab.
"use strict";

const typing = () => ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement.tagName);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") document.activeElement.blur();
  if (typing()) return;
  const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.tagName === "INPUT") target.focus();
  else target.click();
});
