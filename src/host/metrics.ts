import type { CallCounts } from '../boundary/counters.ts';
import type { EnclaveExit } from './enclave.ts';
import type { EnclaveStatistics } from './statistics.ts';

/** A registry of prom-client, or one like it. It is the user's own: sgxio has no Prometheus client in it. */
export interface MetricsRegistry {
  registerMetric(metric: never): void;
}

/** What of an enclave is measured. */
interface Measured {
  readonly name: string;
  readonly pid: number | undefined;
  readonly exited: Promise<EnclaveExit>;
  stats(): EnclaveStatistics;
}

type Labels = Readonly<Record<string, string | number>>;

interface Value {
  readonly labels: Labels;
  readonly value: number;
  /** Where it differs from the name of the metric. */
  readonly metricName?: string;
}

type Side = 'host' | 'enclave';
type Reader = (counts: CallCounts, labels: Labels) => Value[];

interface MetricDescription {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly read: Reader;
}

const NANOSECONDS_A_SECOND = 1e9;

/** The figures that are one number a side. */
const plain = (
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  read: (counts: CallCounts) => number,
): MetricDescription => ({ name, help, type, read: (counts, labels) => [{ labels, value: read(counts) }] });

const descriptions: readonly MetricDescription[] = [
  {
    name: 'sgxio_calls_total',
    help: 'Calls of the enclave by kind.',
    type: 'counter',
    read: (counts, labels) =>
      Object.entries(counts.callsByKind).map(([kind, value]) => ({ labels: { ...labels, kind }, value })),
  },
  {
    name: 'sgxio_payload_bytes_total',
    help: 'Payload that calls carried into the enclave and out of it.',
    type: 'counter',
    read: ({ bytesIn, bytesOut }, labels) => [
      { labels: { ...labels, direction: 'in' }, value: bytesIn },
      { labels: { ...labels, direction: 'out' }, value: bytesOut },
    ],
  },
  {
    name: 'sgxio_calls_refused_total',
    help: 'Calls that found their slots, their payload room or their ring full.',
    type: 'counter',
    read: ({ channelFull, arenaFull, ringFull }, labels) => [
      { labels: { ...labels, full: 'channel' }, value: channelFull },
      { labels: { ...labels, full: 'arena' }, value: arenaFull },
      { labels: { ...labels, full: 'ring' }, value: ringFull },
    ],
  },
  plain('counter', 'sgxio_call_failures_total', 'Calls that were answered with an error.', (c) => c.failures),
  plain(
    'counter',
    'sgxio_spins_total',
    'Waits that went on polling beyond their first polls.',
    (c) => c.spins,
  ),
  plain('counter', 'sgxio_parks_total', 'Sleeps.', (c) => c.parks),
  plain('counter', 'sgxio_wakes_total', 'How often the other side was woken.', (c) => c.wakes),
  plain('gauge', 'sgxio_calls_in_flight', 'Calls that are not answered yet.', (c) => c.inFlight),
  plain('gauge', 'sgxio_calls_in_flight_max', 'The most calls that were in flight.', (c) => c.mostInFlight),
  {
    name: 'sgxio_call_duration_seconds',
    help: 'From the start of a call to its answer, of one call in 64.',
    type: 'histogram',
    read: readLatency,
  },
];

function readLatency({ latency }: CallCounts, labels: Labels): Value[] {
  const name = 'sgxio_call_duration_seconds';
  return [
    ...latency.buckets.map(({ belowNanoseconds, count }) => ({
      metricName: `${name}_bucket`,
      labels: {
        ...labels,
        le: belowNanoseconds === Number.POSITIVE_INFINITY ? '+Inf' : belowNanoseconds / NANOSECONDS_A_SECOND,
      },
      value: count,
    })),
    { metricName: `${name}_sum`, labels, value: latency.sumNanoseconds / NANOSECONDS_A_SECOND },
    { metricName: `${name}_count`, labels, value: latency.count },
  ];
}

/** One metric over all enclaves of a registry, in the form in which prom-client asks its own. */
class EnclaveMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator = 'sum';
  readonly #read: (enclave: Measured) => Value[];
  readonly #enclaves: ReadonlySet<Measured>;

  constructor(
    { name, help, type }: Omit<MetricDescription, 'read'>,
    enclaves: ReadonlySet<Measured>,
    read: (enclave: Measured) => Value[],
  ) {
    this.name = name;
    this.help = help;
    this.type = type;
    this.#enclaves = enclaves;
    this.#read = read;
  }

  get(): Promise<{ name: string; help: string; type: string; aggregator: string; values: Value[] }> {
    const { name, help, type, aggregator } = this;
    const values = [...this.#enclaves].flatMap((enclave) => this.#read(enclave));
    return Promise.resolve({ name, help, type, aggregator, values });
  }

  /** Counters of an enclave count from its start: there is nothing to reset. */
  reset(): void {}
}

const enclavesOf = new WeakMap<MetricsRegistry, Set<Measured>>();

/** Measures an enclave in a registry from now until it ends. */
export function registerEnclave(registry: MetricsRegistry, enclave: Measured): void {
  let enclaves = enclavesOf.get(registry);
  if (enclaves === undefined) {
    enclaves = new Set();
    enclavesOf.set(registry, enclaves);
    for (const metric of metricsOver(enclaves)) registry.registerMetric(metric as never);
  }
  const measured = enclaves;
  measured.add(enclave);
  void enclave.exited.then(() => measured.delete(enclave));
}

function metricsOver(enclaves: ReadonlySet<Measured>): EnclaveMetric[] {
  const sides = descriptions.map(
    (description) =>
      new EnclaveMetric(description, enclaves, (enclave) => {
        const statistics = enclave.stats();
        const of = (side: Side): Value[] =>
          description.read(statistics[side], { ...labelsOf(enclave), side });
        return [...of('host'), ...of('enclave')];
      }),
  );
  const exits = new EnclaveMetric(
    {
      name: 'sgxio_exits_total',
      help: 'How often the enclave left its program for a system call, as it says.',
      type: 'counter',
    },
    enclaves,
    (enclave) => [{ labels: labelsOf(enclave), value: enclave.stats().enclave.exits }],
  );
  const deaths = new EnclaveMetric(
    { name: 'sgxio_worker_deaths_total', help: 'Host workers that died.', type: 'counter' },
    enclaves,
    (enclave) => [{ labels: labelsOf(enclave), value: enclave.stats().workerDeaths }],
  );
  const workers = new EnclaveMetric(
    { name: 'sgxio_workers', help: 'Threads of the host that serve its calls.', type: 'gauge' },
    enclaves,
    (enclave) => [{ labels: labelsOf(enclave), value: enclave.stats().workers }],
  );
  return [...sides, exits, deaths, workers];
}

function labelsOf({ name, pid }: Measured): Labels {
  return { enclave: name, pid: pid ?? 0 };
}
