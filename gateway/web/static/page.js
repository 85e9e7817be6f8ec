// The parts of the console's page, for all that fills them. Text is inserted as text, never as markup.

import { Problem } from "/static/ask.js";

export const at = (id) => document.getElementById(id);

export function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Live regions speak when they change: the same text is not written twice.
export function show(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
  at(id).hidden = !text;
}

export function words(error) {
  if (error instanceof Problem) return error.message;
  console.error(error);
  return `This page did not understand an answer of the gateway (${error.message}). Reload it.`;
}
