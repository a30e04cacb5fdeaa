// The list of the kinds of diagrams, by the tool that draws each.
import {
  ganttDiagram,
  gitDiagram,
  journeyDiagram,
  pieDiagram,
  quadrantDiagram,
  rawDiagram,
  sequenceDiagram,
} from './chart-diagrams.ts';
import type { DiagramKind } from './diagram-kind.ts';
import { classesDiagram, entitiesDiagram, flowchartDiagram, statesDiagram } from './graph-diagrams.ts';

export const diagramKinds: Readonly<Record<string, DiagramKind>> = {
  create_flowchart: flowchartDiagram,
  create_sequence_diagram: sequenceDiagram,
  create_class_diagram: classesDiagram,
  create_er_diagram: entitiesDiagram,
  create_gantt_chart: ganttDiagram,
  create_pie_chart: pieDiagram,
  create_state_diagram: statesDiagram,
  create_git_graph: gitDiagram,
  create_user_journey: journeyDiagram,
  create_quadrant_chart: quadrantDiagram,
  create_diagram: rawDiagram,
};
