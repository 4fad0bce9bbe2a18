// Search from file://, where browsers refuse real workers: the worker's script runs in a hidden frame instead.
// The theme asks whether the page has an IFrameWorker; the offline plugin, whether this file has the name it has.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.title = "search"
      this.frame.addEventListener("load", () => this.start(new URL(url, document.baseURI).href), { once: true })
      const place = () => document.body.append(this.frame)
      document.body ? place() : document.addEventListener("DOMContentLoaded", place, { once: true })
    }
    start(url) {
      const inside = this.frame.contentWindow
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      inside.importScripts = async (...urls) => {
        for (const each of urls) await this.load(each)
      }
      this.load(url).then(() => {
        this.ready = true
        this.waiting.forEach(data => this.postMessage(data))
      })
    }
    load(url) {
      return new Promise((done, failed) => {
        const script = this.frame.contentDocument.createElement("script")
        script.src = url
        script.onload = done
        script.onerror = failed
        this.frame.contentDocument.body.append(script)
      })
    }
    postMessage(data) {
      const inside = this.frame.contentWindow
      if (this.ready) inside.dispatchEvent(new inside.MessageEvent("message", { data }))
      else this.waiting.push(data)
    }
    terminate() {
      this.frame.remove()
    }
  }
  window.SystemWorker = window.Worker  // for live.js, whose worker is made from text and works here
  window.Worker = window.IFrameWorker
}
