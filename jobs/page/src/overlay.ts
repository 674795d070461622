/** What is drawn above the points: labels of clusters, rings, lines to neighbours, the lasso. */

import type { Camera } from "./camera";
import type { Cluster } from "./data";
import { shortened } from "./format";
import type { Box, Point } from "./geometry";

interface Label {
  text: string;
  x: number;
  y: number;
}

export interface Scene {
  /** Labels, the most important first. */
  labels: Label[];
  /** Where there is no room for labels, in pixels. */
  reserved: Box[];
  active: Point | null;
  hover: Point | null;
  neighbors: Point[];
  /** Corners of the lasso, in pixels. */
  lasso: Point[];
  /** Whether the middle is marked, for the keyboard. */
  cross: boolean;
  radius: number;
}

interface Ink {
  text: string;
  halo: string;
  accent: string;
  wash: string;
}

const FONT_SIZE = "500 11.5px";
const MOST_LABELS = 24;

/** The label as the map shows it. */
export function shortLabel(cluster: Cluster): string {
  return shortened(cluster.label, 40);
}

export class Overlay {
  private readonly context: CanvasRenderingContext2D;

  constructor(private readonly canvas: HTMLCanvasElement) {
    const context = canvas.getContext("2d");
    if (context === null) throw new Error("The browser has no 2D canvas.");
    this.context = context;
  }

  resize(width: number, height: number): void {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  draw(scene: Scene, camera: Camera): void {
    const style = getComputedStyle(this.canvas);
    const ink: Ink = {
      text: style.getPropertyValue("--ink"),
      halo: style.getPropertyValue("--map"),
      accent: style.getPropertyValue("--accent"),
      wash: style.getPropertyValue("--wash"),
    };
    this.context.clearRect(0, 0, camera.width, camera.height);
    this.drawNeighbors(scene, camera, ink);
    this.drawLabels(scene, camera, ink);
    if (scene.hover !== null)
      this.ring(camera.toScreen(scene.hover.x, scene.hover.y), scene.radius + 3, ink.text, ink);
    if (scene.active !== null) {
      this.ring(camera.toScreen(scene.active.x, scene.active.y), scene.radius + 5, ink.accent, ink);
    }
    this.drawLasso(scene.lasso, ink);
    if (scene.cross) this.drawCross(camera, ink);
  }

  private ring(at: Point, radius: number, colour: string, ink: Ink): void {
    for (const [width, stroke] of [
      [5, ink.halo],
      [2.25, colour],
    ] as const) {
      this.context.beginPath();
      this.context.arc(at.x, at.y, radius, 0, 2 * Math.PI);
      this.context.lineWidth = width;
      this.context.strokeStyle = stroke;
      this.context.stroke();
    }
  }

  private drawNeighbors(scene: Scene, camera: Camera, ink: Ink): void {
    if (scene.active === null) return;
    const from = camera.toScreen(scene.active.x, scene.active.y);
    this.context.strokeStyle = ink.accent;
    this.context.lineWidth = 1.25;
    for (const neighbor of scene.neighbors) {
      const to = camera.toScreen(neighbor.x, neighbor.y);
      this.context.globalAlpha = 0.55;
      this.context.beginPath();
      this.context.moveTo(from.x, from.y);
      this.context.lineTo(to.x, to.y);
      this.context.stroke();
      this.context.globalAlpha = 1;
      this.context.beginPath();
      this.context.arc(to.x, to.y, scene.radius + 2, 0, 2 * Math.PI);
      this.context.stroke();
    }
  }

  private drawLabels(scene: Scene, camera: Camera, ink: Ink): void {
    const taken = [...scene.reserved];
    this.context.font = `${FONT_SIZE} ${getComputedStyle(this.canvas).fontFamily}`;
    this.context.textAlign = "center";
    this.context.textBaseline = "middle";
    this.context.lineJoin = "round";
    for (const label of scene.labels) {
      if (taken.length >= MOST_LABELS + scene.reserved.length) return;
      const place = camera.toScreen(label.x, label.y);
      const at = { x: place.x, y: place.y - scene.radius - 11 };
      const half = this.context.measureText(label.text).width / 2 + 6;
      const box = { left: at.x - half, right: at.x + half, bottom: at.y - 10, top: place.y + 6 };
      const outside = box.left < 0 || box.right > camera.width || box.bottom < 0 || box.top > camera.height;
      if (outside || taken.some((other) => overlap(box, other))) continue;
      taken.push(box);
      this.context.lineWidth = 3.5;
      this.context.strokeStyle = ink.halo;
      this.context.globalAlpha = 0.9;
      this.context.strokeText(label.text, at.x, at.y);
      this.context.globalAlpha = 1;
      this.context.fillStyle = ink.text;
      this.context.fillText(label.text, at.x, at.y);
    }
  }

  private drawLasso(corners: Point[], ink: Ink): void {
    if (corners.length < 2) return;
    this.context.beginPath();
    for (const corner of corners) this.context.lineTo(corner.x, corner.y);
    this.context.closePath();
    this.context.fillStyle = ink.wash;
    this.context.fill();
    this.context.setLineDash([5, 4]);
    this.context.lineWidth = 1.5;
    this.context.strokeStyle = ink.accent;
    this.context.stroke();
    this.context.setLineDash([]);
  }

  private drawCross(camera: Camera, ink: Ink): void {
    const x = Math.round(camera.width / 2) + 0.5;
    const y = Math.round(camera.height / 2) + 0.5;
    for (const [width, stroke] of [
      [4, ink.halo],
      [1.5, ink.accent],
    ] as const) {
      this.context.lineWidth = width;
      this.context.strokeStyle = stroke;
      this.context.beginPath();
      for (const [dx, dy] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ]) {
        this.context.moveTo(x + 5 * dx, y + 5 * dy);
        this.context.lineTo(x + 13 * dx, y + 13 * dy);
      }
      this.context.stroke();
    }
  }
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.bottom < b.top && b.bottom < a.top;
}
