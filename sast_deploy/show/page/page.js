"use strict";
for (const box of document.querySelectorAll(".stepper")) {
  const samples = [...box.querySelectorAll(".sample")];
  const counter = box.querySelector("output");
  let at = 0;
  const step = (by) => {
    samples[at].hidden = true;
    at = (at + by + samples.length) % samples.length;
    samples[at].hidden = false;
    counter.value = `${at + 1} / ${samples.length}`;
  };
  if (samples.length < 2) continue;
  box.querySelector(".steps").hidden = false;
  for (const button of box.querySelectorAll("button")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  box.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    step(by);
  });
}
