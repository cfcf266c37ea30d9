"use strict";
(() => {
  const RATE = 16000;
  const root = document.documentElement;
  const players = [...document.querySelectorAll("audio")];
  const pictures = [...document.querySelectorAll("svg.signals")].map((svg) => ({
    svg,
    head: svg.querySelector(".playhead"),
    start: Number(svg.dataset.start),
    end: Number(svg.dataset.end),
    left: Number(svg.dataset.left),
    right: Number(svg.dataset.right),
  }));
  let current = players[0];
  let until = Infinity;

  const show = (seconds) => {
    for (const picture of pictures) {
      const share = (seconds * RATE - picture.start) / (picture.end - picture.start);
      const inside = share >= 0 && share <= 1;
      picture.head.setAttribute("visibility", inside ? "visible" : "hidden");
      if (inside) {
        const x = picture.left + share * (picture.right - picture.left);
        picture.head.setAttribute("x1", x);
        picture.head.setAttribute("x2", x);
      }
    }
  };
  const follow = () => {
    show(current.currentTime);
    if (current.currentTime >= until) current.pause();
    if (!current.paused) requestAnimationFrame(follow);
  };
  const seek = (seconds, end) => {
    until = end;
    current.currentTime = seconds;
    show(seconds);
  };

  for (const player of players) {
    player.addEventListener("play", () => {
      for (const other of players) if (other !== player) other.pause();
      current = player;
      follow();
    });
    player.addEventListener("pause", () => {
      until = Infinity;
    });
    player.addEventListener("error", () => {
      const note = document.createElement("p");
      note.textContent = "This browser does not play Ogg Opus.";
      player.replaceWith(note);
    });
    player.addEventListener("seeked", () => show(player.currentTime));
  }
  for (const picture of pictures) {
    picture.svg.classList.add("seekable");
    picture.svg.addEventListener("click", (event) => {
      const box = picture.svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * picture.svg.viewBox.baseVal.width;
      const share = (x - picture.left) / (picture.right - picture.left);
      if (share < 0 || share > 1) return;
      seek((picture.start + share * (picture.end - picture.start)) / RATE, Infinity);
    });
  }
  for (const button of document.querySelectorAll("button.seek")) {
    button.addEventListener("click", () => {
      current.pause();
      current = players[0];
      seek(Number(button.dataset.seek), Number(button.dataset.until));
      current.play();
    });
  }
  const theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  root.dataset.ready = "yes";
})();
