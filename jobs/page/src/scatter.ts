/** The points, drawn by deck.gl. */

import { Deck, OrthographicView, type OrthographicViewState } from "@deck.gl/core";

import type { Camera } from "./camera";
import type { Drawing } from "./colouring";
import { PointsLayer } from "./points";

/** Whether the browser draws with WebGL 2. */
export function canDraw(): boolean {
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

interface Scene {
  drawing: Drawing;
  positions: Float32Array;
}

const EMPTY: Scene = {
  drawing: { order: new Uint32Array(0), colours: new Uint8ClampedArray(0) },
  positions: new Float32Array(0),
};

export class Scatter {
  frames = 0;
  private readonly deck: Deck<OrthographicView>;
  private all = EMPTY;
  /** Every so many points of all, for movements. */
  private some = { every: 1, scene: EMPTY };

  constructor(
    canvas: HTMLCanvasElement,
    private readonly xs: ArrayLike<number>,
    private readonly ys: ArrayLike<number>,
    private readonly camera: Camera,
    failed: (error: Error) => void,
  ) {
    this.deck = new Deck({
      canvas,
      views: new OrthographicView({ flipY: false }),
      viewState: this.viewState(),
      controller: false,
      deviceProps: { type: "webgl", webgl: { antialias: false } },
      layers: [],
      onLoad: () => (canvas.tabIndex = -1),
      onAfterRender: () => this.frames++,
      onError: failed,
    });
  }

  /** Draw these points. */
  setDrawing(drawing: Drawing): void {
    this.all = this.sceneOf(drawing, 1);
    this.some = { every: 1, scene: this.all };
  }

  private sceneOf(drawing: Drawing, every: number): Scene {
    const order = every === 1 ? drawing.order : drawing.order.filter((_, i) => i % every === 0);
    const colours = every === 1 ? drawing.colours : new Uint8ClampedArray(4 * order.length);
    const positions = new Float32Array(2 * order.length);
    order.forEach((row, i) => {
      positions[2 * i] = this.xs[row];
      positions[2 * i + 1] = this.ys[row];
      if (every !== 1) colours.set(drawing.colours.subarray(4 * i * every, 4 * i * every + 4), 4 * i);
    });
    return { drawing: { order, colours }, positions };
  }

  /** Draw one point of `every` that the camera sees; `radius` is that of a point in pixels. */
  update(radius: number, every: number): void {
    if (every !== 1 && every !== this.some.every)
      this.some = { every, scene: this.sceneOf(this.all.drawing, every) };
    const { drawing, positions } = every === 1 ? this.all : this.some.scene;
    const layer = new PointsLayer({ id: "structures", data: [], drawing, positions, radius });
    this.deck.setProps({ viewState: this.viewState(), layers: [layer] });
  }

  private viewState(): OrthographicViewState {
    const { center, zoom } = this.camera;
    return { target: [center.x, center.y, 0], zoom };
  }
}
