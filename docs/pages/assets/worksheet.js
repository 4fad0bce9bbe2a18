/* Keeps what a reader writes into textarea[data-worksheet=ID] under "specref.worksheet.ID", shows it in
   [data-worksheet-shown=ID], and saves all of it as one Markdown file. The quiz's buttons save and load it with
   the rest of the progress. */

(function () {
  "use strict";
  if (window.specrefWorksheet) return;

  const key = id => "specref.worksheet." + id;
  const read = id => { try { return localStorage.getItem(key(id)) || ""; } catch (error) { return ""; } };
  const write = (id, text) => { try { localStorage.setItem(key(id), text); } catch (error) { /* private window */ } };
  const rows = () => [...document.querySelectorAll("[data-worksheet-shown]")];

  /* A cell of a Markdown table is one line, and a bar would end it. */
  const cell = text => text.trim().replace(/\\/g, "\\\\").replace(/\|/g, "\\|").replace(/\s*\n\s*/g, "<br>");
  function markdown() {
    const lines = rows().map(row => `| ${cell(row.parentElement.querySelector("th").textContent)} | ${cell(row.textContent)} |`);
    return ["# My worksheet", "", "| question | answer |", "| --- | --- |", ...lines, ""].join("\n");
  }

  function save() {
    const link = document.createElement("a");
    link.download = "worksheet.md";
    link.href = URL.createObjectURL(new Blob([markdown()], { type: "text/markdown" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function show(id, text) {
    rows().filter(row => row.dataset.worksheetShown === id).forEach(row => { row.textContent = text; });
  }

  function begin() {
    rows().forEach(row => { row.textContent = read(row.dataset.worksheetShown); });
    document.querySelectorAll("textarea[data-worksheet]").forEach(area => {
      area.value = read(area.dataset.worksheet);
      area.addEventListener("input", () => {
        write(area.dataset.worksheet, area.value);
        show(area.dataset.worksheet, area.value);
      });
    });
    document.querySelectorAll(".worksheet-page").forEach(page => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "worksheet-save";
      button.textContent = "Save my worksheet as Markdown";
      button.addEventListener("click", save);
      page.append(button);
    });
  }

  window.specrefWorksheet = { markdown };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
