/** The part of 3Dmol.js that the page uses; the library is a script of its own. */

interface MolModel {
  addAtoms(atoms: object[]): void;
}

interface MolViewer {
  addModel(): MolModel;
  addCylinder(spec: object): void;
  removeAllModels(): void;
  removeAllShapes(): void;
  setStyle(selection: object, style: object): void;
  setBackgroundColor(colour: string, alpha: number): void;
  zoomTo(): void;
  zoom(factor: number): void;
  rotate(angle: number, axis: string): void;
  resize(): void;
  render(): void;
}

declare const $3Dmol: {
  createViewer(element: HTMLElement, config: object): MolViewer | undefined;
  elementColors: { Jmol: Record<string, number | undefined> };
};
