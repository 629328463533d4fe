// A form has fields of any name, such as "dataset": its own attributes are read with getAttribute.
"use strict";
const csrf = document.querySelector("meta[name=csrf]")?.content ?? "";
const post = (address, body) => fetch(address, {method: "POST", body, headers: {"X-CSRF": csrf, Accept: "application/json"}});

function checked(form) {
  const plan = document.getElementById("plan"), faults = document.getElementById("faults");
  let turn = 0, timer = 0, typed = false;  // what is still empty is no fault before anything was typed
  const line = (text, kind) => Object.assign(document.createElement("p"), {textContent: text, className: kind});
  async function check() {
    const mine = ++turn;
    let found;
    try {
      const answer = await post(form.getAttribute("data-check"), new FormData(form));
      found = answer.ok ? await answer.json() : {faults: [{path: "", message: await answer.text(), hint: ""}], plan: [], notes: []};
    } catch (error) {
      found = {faults: [{path: "", message: String(error), hint: ""}], plan: [], notes: []};
    }
    if (mine !== turn) return;
    for (const field of form.querySelectorAll(".field")) {
      field.classList.remove("bad");
      field.querySelector(".wrong").hidden = true;
      field.querySelector("input,select,textarea").removeAttribute("aria-invalid");
    }
    faults.replaceChildren();
    for (const fault of found.faults) {
      const field = form.querySelector(`.field[data-path="${CSS.escape(fault.path)}"]`), text = [fault.message, fault.hint].filter(Boolean).join(/[.!?:]$/.test(fault.message) ? " " : ". ");
      if (field && !typed && !field.querySelector("input,select,textarea").value) continue;
      if (field) {
        field.classList.add("bad");
        field.closest("details")?.setAttribute("open", "");
        field.querySelector("input,select,textarea").setAttribute("aria-invalid", "true");
        Object.assign(field.querySelector(".wrong"), {textContent: text, hidden: false});
      } else faults.append(line(fault.path ? `${fault.path}: ${text}` : text, "fault"));
    }
    if (!found.faults.length) faults.append(line(faults.dataset.none, "note"));
    plan.replaceChildren(...found.plan.map(text => line(text, found.fits ? "" : "fault")), ...found.notes.map(text => line(text, "note")));
    if (found.command) {
      document.getElementById("command").textContent = found.command;
      document.getElementById("yaml").textContent = found.yaml;
    }
  }
  form.addEventListener("change", event => {  // another implementation has other fields
    if (!event.target.matches("[data-part]")) return;
    const given = [...new FormData(form)].filter(([name, value]) => value && name !== "csrf");
    location.search = new URLSearchParams(given.map(([name, value]) => [name === "verb" ? "task" : name, value]));
  });
  form.addEventListener("input", () => { typed = true; clearTimeout(timer); timer = setTimeout(check, 500); });
  check();
}

function live(box) {
  const address = box.dataset.live;
  const timer = setInterval(async () => {
    const answer = await fetch(address);
    if (!answer.ok) return;
    const open = [...box.querySelectorAll("details")].map(each => each.open), text = await answer.text();
    box.innerHTML = text;  // drawn and escaped by the server, as the first time
    box.querySelectorAll("details").forEach((each, number) => { each.open = open[number] ?? false; });
    if (answer.headers.get("x-run-status") !== "running") { clearInterval(timer); location.reload(); }
  }, 2000);
}

function chat(form) {
  const said = {left: [], right: []}, fields = form.elements;
  let image = "", prompt = [];
  const pane = side => document.getElementById(side);
  const show = (side, role, text) => {
    const box = Object.assign(document.createElement("p"), {className: `said ${role}`, textContent: text});
    pane(side).append(box);
    return box;
  };
  fields.image.addEventListener("change", () => {
    const file = fields.image.files[0], reader = new FileReader();
    image = "";
    if (file && file.size < 5e6) { reader.onload = () => { image = reader.result; }; reader.readAsDataURL(file); }
  });
  fields.right.addEventListener("change", () => { pane("right").hidden = !fields.right.value; });
  document.getElementById("clear").addEventListener("click", () => {
    said.left = []; said.right = []; pane("left").replaceChildren(); pane("right").replaceChildren();
    document.getElementById("rating").hidden = true;
  });
  async function answer(side, content) {
    const box = show(side, "assistant", ""), start = fields.system.value ? [{role: "system", content: fields.system.value}] : [];
    said[side].push({role: "user", content});
    const body = {choice: fields[side].value, messages: [...start, ...said[side]], temperature: +fields.temperature.value, top_p: +fields.top_p.value, max_tokens: +fields.max_tokens.value};
    const form = new FormData();
    form.set("request", JSON.stringify(body));
    const response = await post("/chat/answer", form);
    if (!response.ok) {
      box.className = "fault";
      try { box.textContent = (await response.json()).error.message; } catch { box.textContent = response.statusText; }
      said[side].pop();
      return;
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece; !(piece = await reader.read()).done;) box.textContent += piece.value;
    said[side].push({role: "assistant", content: box.textContent});
  }
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const text = fields.message.value;
    if (!text.trim()) return;
    const content = image ? [{type: "text", text}, {type: "image_url", image_url: {url: image}}] : text;
    fields.message.value = ""; fields.image.value = ""; image = "";
    const sides = fields.right.value ? ["left", "right"] : ["left"];
    prompt = [...said.left, {role: "user", content}];
    for (const side of sides) show(side, "user", text);
    await Promise.all(sides.map(side => answer(side, content)));
    document.getElementById("rating").hidden = sides.length < 2;
    document.getElementById("rated").textContent = "";
  });
  fields.message.addEventListener("keydown", event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(); });
  for (const button of form.querySelectorAll("[data-better]")) button.addEventListener("click", async () => {
    const better = button.dataset.better, worse = better === "left" ? "right" : "left", last = side => said[side].at(-1)?.content ?? "";
    const body = new FormData();
    body.set("row", JSON.stringify({prompt, chosen: last(better), rejected: last(worse)}));
    const answer = await post("/chat/rate", body);
    document.getElementById("rated").textContent = answer.ok ? form.dataset.rated : await answer.text();
  });
}

for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent));
for (const form of document.querySelectorAll("[data-sure]")) form.addEventListener("submit", event => { if (!confirm(form.dataset.sure)) event.preventDefault(); });
for (const form of document.querySelectorAll("[data-check]")) checked(form);
for (const box of document.querySelectorAll("[data-live]")) live(box);
const talking = document.getElementById("chat");
if (talking) chat(talking);
