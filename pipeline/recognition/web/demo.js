"use strict";
const byId = (id) => document.getElementById(id);
const [drop, file, size, status, faces, video] = ["drop", "file", "size", "status", "faces", "video"].map(byId);
let photograph = null;
let asked = 0;

function say(text, isError = false) {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

async function recognise() {
  if (!photograph) return;
  const mine = ++asked;
  say("Looking…");
  try {
    const headers = { "Content-Type": "application/octet-stream" };
    const reply = await fetch(`/recognise?size=${size.value}`, { method: "POST", body: photograph, headers });
    const found = await reply.json();
    if (mine !== asked) return; // a newer question is on its way
    faces.replaceChildren(...(found.faces ?? []).map((face) => shown(face, found.threshold)));
    say(found.error ?? `${found.faces.length} ${found.faces.length === 1 ? "face" : "faces"}`, Boolean(found.error));
  } catch {
    if (mine === asked) say("The program on this machine does not answer; is it still running?", true);
  }
}

function shown(face, threshold) {
  const article = byId("face").content.cloneNode(true).firstElementChild;
  for (const view of ["vlr", "bicubic", "restored"]) article.querySelector(`.${view}`).src = face[view];
  article.querySelector("figcaption").textContent = `${face.seen_px} px`;
  article.querySelector(".words").textContent = face.words;
  article.classList.toggle("known", face.answer.person !== null);
  article.querySelector(".score").style.width = `${100 * Math.max(0, face.answer.score ?? 0)}%`;
  article.querySelector(".threshold").style.left = `${100 * Math.max(0, threshold)}%`;
  return article;
}

function take(blob) {
  photograph = blob;
  recognise();
}

let waiting = 0;
size.addEventListener("input", () => {
  byId("size-shown").textContent = `${size.value} px`;
  clearTimeout(waiting);
  waiting = setTimeout(recognise, 150);
});
file.addEventListener("change", () => file.files[0] && take(file.files[0]));
drop.addEventListener("keydown", (event) => ["Enter", " "].includes(event.key) && file.click());
for (const name of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}

byId("camera").addEventListener("click", async () => {
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
    video.hidden = byId("shoot").hidden = false;
    await video.play();
  } catch (error) {
    say(`No camera: ${error.message}`, true);
  }
});
byId("shoot").addEventListener("click", () => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob(take, "image/png");
  for (const track of video.srcObject.getTracks()) track.stop();
  video.hidden = byId("shoot").hidden = true;
});
