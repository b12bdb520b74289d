/** What a browser shows of the report: evaluated in the page. */
(() => {
  const SLACK_PIXELS = 2;
  const root = document.documentElement;

  function luminance(colour) {
    const [red, green, blue] = (colour.match(/[\d.]+/g) ?? []).slice(0, 3).map((part) => {
      const share = Number(part) / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  function contrast(one, other) {
    const [dark, light] = [luminance(one), luminance(other)].sort((left, right) => left - right);
    return (light + 0.05) / (dark + 0.05);
  }

  /** Pairs of texts that lie on each other, by more than the room around their letters. */
  function overlapping(texts) {
    const boxes = texts.map((text) => ({ text: text.textContent, box: text.getBoundingClientRect() }));
    return boxes.flatMap(({ text, box }, index) =>
      boxes
        .slice(index + 1)
        .filter(
          (other) =>
            Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left) > SLACK_PIXELS &&
            Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top) > 2 * SLACK_PIXELS,
        )
        .map((other) => `${text} | ${other.text}`),
    );
  }

  /** What is cut off or hidden behind the page's edge, of all that stands outside of figures. */
  function beyondThePage() {
    const texts = [...document.querySelectorAll('h1, h2, p, li, figcaption, .goals td, nav a')];
    return texts
      .filter((text) => text.getBoundingClientRect().right > root.clientWidth + SLACK_PIXELS)
      .map((text) => text.textContent);
  }

  function lookAt(figure) {
    const drawings = [...figure.querySelectorAll('svg')].filter(
      (svg) => svg.getBoundingClientRect().width > 0,
    );
    const svg = drawings[0];
    const frame = svg.getBoundingClientRect();
    const scale = frame.width / svg.viewBox.baseVal.width;
    const texts = [...svg.querySelectorAll('text')].filter((text) => text.textContent !== '');
    const paper = getComputedStyle(document.body).backgroundColor;
    const outside = texts.filter((text) => {
      const box = text.getBoundingClientRect();
      return (
        box.left < frame.left - SLACK_PIXELS ||
        box.right > frame.right + SLACK_PIXELS ||
        box.top < frame.top - SLACK_PIXELS ||
        box.bottom > frame.bottom + SLACK_PIXELS
      );
    });
    return {
      caption: figure.querySelector('figcaption')?.textContent ?? '',
      drawn: drawings.length,
      texts: texts.length,
      overlapping: overlapping(texts),
      outside: outside.map((text) => text.textContent ?? ''),
      leastPixels: Math.min(
        ...texts.map((text) => Number.parseFloat(getComputedStyle(text).fontSize) * scale),
      ),
      leastContrast: Math.min(...texts.map((text) => contrast(getComputedStyle(text).fill, paper))),
    };
  }

  return {
    viewWidth: root.clientWidth,
    contentWidth: root.scrollWidth,
    beyond: beyondThePage(),
    sections: document.querySelectorAll('main > section').length,
    text: document.querySelector('main').textContent,
    figures: [...document.querySelectorAll('figure')].map(lookAt),
  };
})();
