// The list follows the filters as they are typed. The address follows too, so that it can be kept or sent on.

const PAUSE_MS = 250;
const form = document.getElementById("filters");
const said = document.getElementById("said");
let timer = 0;
let asking = null;

function wanted() {
  const filled = [...new FormData(form)].filter(([, value]) => value.trim() !== "");
  const query = new URLSearchParams(filled).toString();
  return location.pathname + (query && `?${query}`);
}

function show(page) {
  const found = page.getElementById("results");
  if (!found) return;
  document.getElementById("results").replaceWith(document.importNode(found, true));
  const rows = document.querySelectorAll("#results tbody tr").length;
  const older = document.querySelector("#results a[rel=next]") ? " or more" : "";
  const noun = rows === 1 ? "message" : "messages";
  said.textContent = rows ? `${rows}${older} ${noun}` : document.querySelector("#results p")?.textContent;
  const reset = form.querySelector(".reset");
  const another = page.querySelector("#filters .reset");
  if (reset && !another) reset.remove();
  if (!reset && another) form.append(document.importNode(another, true));
}

function ask() {
  const address = wanted();
  asking?.abort();
  // Not fetch: this alone makes a document of an answer without a sink of Trusted Types.
  asking = new XMLHttpRequest();
  asking.responseType = "document";
  asking.addEventListener("load", (event) => {
    const answer = event.target;
    if (answer !== asking) return;
    if (answer.status !== 200 || !answer.response?.getElementById("results")) {
      location.assign(address); // signed out, or no such filter: the page says what it is
      return;
    }
    history.replaceState(null, "", address);
    show(answer.response);
  });
  asking.addEventListener("error", () => {
    said.textContent = "The list cannot be reached.";
  });
  asking.open("GET", address);
  asking.send();
}

form.addEventListener("input", (event) => {
  clearTimeout(timer);
  timer = setTimeout(ask, event.target.type === "search" ? PAUSE_MS : 0);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  ask();
});
