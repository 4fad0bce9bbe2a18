/* Keeps a reader's predictions in the browser, under "specref.predict.ID", and shows them beside the
   measurement: form.predict[data-predict=ID] asks, .predicted[data-predicted=ID] shows. The quiz's buttons
   save and load them with the rest of the progress. */

(function () {
  "use strict";
  if (window.specrefPredict) return;
  window.specrefPredict = true;

  const key = id => "specref.predict." + id;
  const read = id => { try { return localStorage.getItem(key(id)); } catch (error) { return null; } };
  const write = (id, text) => { try { localStorage.setItem(key(id), text); } catch (error) { /* private window */ } };

  function show(id) {
    const chosen = read(id);
    document.querySelectorAll(`[data-predicted="${id}"]`).forEach(place => {
      if (chosen) place.textContent = `You predicted: ${chosen}.`;
    });
  }

  function enliven(form) {
    const id = form.dataset.predict, before = read(id);
    const told = document.createElement("p");
    told.setAttribute("role", "status");
    told.className = "predict-kept";
    form.append(told);
    form.querySelectorAll("input").forEach(input => {
      input.checked = input.value === before;
      input.addEventListener("change", () => {
        write(id, input.value);
        told.textContent = "Kept in this browser. It will stand beside the measurement.";
        show(id);
      });
    });
    form.addEventListener("submit", event => event.preventDefault());
    show(id);
  }

  function begin() { document.querySelectorAll("form.predict").forEach(enliven); }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
