/** Prometheus text format 0.0.4: HELP and TYPE once per name, samples of a name together, labels escaped. */
import type { MetricSample } from '../core/contracts/telemetry.ts';

const _PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** The same samples with one more label (which worker they are of). */
export function labelled(samples: readonly MetricSample[], name: string, value: string): MetricSample[] {
  return samples.map((sample) => ({ ...sample, labels: { ...sample.labels, [name]: value } }));
}

/** Names in order of first use. The first sample of a name decides its help and kind. */
export function renderPrometheus(samples: readonly MetricSample[]): string {
  const families = new Map<string, MetricSample[]>();
  for (const sample of samples) {
    const family = families.get(sample.name);
    if (family === undefined) families.set(sample.name, [sample]);
    else family.push(sample);
  }
  return [...families.values()].map(renderFamily).join('');
}

function renderFamily(family: readonly MetricSample[]): string {
  const { name, kind, help } = family[0] as MetricSample;
  const lines = family.map(({ labels, value }) => `${name}${renderLabels(labels ?? {})} ${renderValue(value)}\n`);
  return `# HELP ${name} ${escapeText(help)}\n# TYPE ${name} ${kind}\n${lines.join('')}`;
}

function renderLabels(labels: { readonly [name: string]: string }): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeText(value).replaceAll('"', '\\"')}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escapeText = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');

function renderValue(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? '+Inf' : '-Inf';
}
