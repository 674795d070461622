/**
 * A layer of round points, all of one radius in pixels.
 *
 * deck.gl's ScatterplotLayer draws an instance of a square per point; where a browser draws without a
 * graphics card that is some 20 times slower than the points of WebGL that are used here.
 */

import { Layer, type DefaultProps, type LayerProps, type UpdateParameters } from "@deck.gl/core";
import { Model } from "@luma.gl/engine";

import type { Drawing } from "./colouring";

export interface PointsProps {
  drawing: Drawing;
  /** Two numbers per point, in the order of the drawing. */
  positions: Float32Array;
  /** In pixels. */
  radius: number;
}

const BLOCK = `\
layout(std140) uniform pointsUniforms {
  vec2 center;
  vec2 scale;
  float diameter;
} points;
`;

const points = {
  name: "points",
  vs: BLOCK,
  fs: BLOCK,
  uniformTypes: { center: "vec2<f32>", scale: "vec2<f32>", diameter: "f32" },
} as const;

const VERTEX = `\
#version 300 es
in vec2 positions;
in vec4 colours;
out vec4 colour;
void main(void) {
  gl_Position = vec4((positions - points.center) * points.scale, 0.0, 1.0);
  gl_PointSize = points.diameter + 1.0;
  colour = colours;
}
`;

/** The outermost pixel fades out. */
const FRAGMENT = `\
#version 300 es
precision highp float;
in vec4 colour;
out vec4 fragColor;
void main(void) {
  float size = points.diameter + 1.0;
  float inside = 0.5 * size - length(gl_PointCoord - 0.5) * size;
  if (inside <= 0.0) discard;
  fragColor = vec4(colour.rgb, colour.a * min(1.0, inside));
}
`;

export class PointsLayer extends Layer<PointsProps> {
  static override layerName = "PointsLayer";
  static override defaultProps: DefaultProps<LayerProps & PointsProps> = {
    drawing: { type: "object", value: { order: new Uint32Array(0), colours: new Uint8ClampedArray(0) } },
    positions: { type: "object", value: new Float32Array(0) },
    radius: 1,
  };
  declare state: { model: Model };

  override initializeState(): void {
    const model = new Model(this.context.device, {
      id: this.props.id,
      vs: VERTEX,
      fs: FRAGMENT,
      modules: [points],
      topology: "point-list",
      bufferLayout: [
        { name: "positions", format: "float32x2" },
        { name: "colours", format: "unorm8x4" },
      ],
    });
    this.setState({ model });
  }

  /** The shaders have none of deck.gl's modules. */
  override setShaderModuleProps(): void {}

  override updateState({ props, oldProps }: UpdateParameters<this>): void {
    if (props.positions === oldProps.positions && props.drawing === oldProps.drawing) return;
    const { model } = this.state;
    const { positions, colours } = model.bufferAttributes;
    const { device } = this.context;
    model.setAttributes({
      positions: device.createBuffer({ data: props.positions }),
      colours: device.createBuffer({ data: new Uint8Array(props.drawing.colours.buffer) }),
    });
    positions?.destroy();
    colours?.destroy();
    model.setVertexCount(props.drawing.order.length);
  }

  override draw(): void {
    const { model } = this.state;
    if (this.props.drawing.order.length === 0) return;
    const { viewport, device } = this.context;
    const [x, y] = viewport.position;
    const ratio = device.getDefaultCanvasContext().cssToDeviceRatio();
    model.shaderInputs.setProps({
      points: {
        center: [x, y],
        scale: [(2 * viewport.scale) / viewport.width, (2 * viewport.scale) / viewport.height],
        diameter: 2 * this.props.radius * ratio,
      },
    });
    model.draw(this.context.renderPass);
  }
}
