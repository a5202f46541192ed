const players = [...document.querySelectorAll(".player")].map((player) => ({
  audio: player.querySelector("audio"),
  strips: player.querySelector(".strips"),
}));
for (const { audio, strips } of players) {
  const seconds = Number(strips.dataset.seconds);
  const show = () => strips.style.setProperty("--at", `${Math.min((100 * audio.currentTime) / seconds, 100)}%`);
  const follow = () => {
    show();
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    for (const other of players) if (other.audio !== audio) other.audio.pause();
    follow();
  });
  for (const event of ["seeking", "seeked", "timeupdate", "ended"]) audio.addEventListener(event, show);
  strips.addEventListener("click", (event) => {
    if (!event.target.closest(".strip")) return;
    const box = strips.getBoundingClientRect();
    audio.currentTime = (seconds * (event.clientX - box.left)) / box.width;
    show();
    audio.play().catch(() => {});
  });
}
