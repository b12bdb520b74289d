import workerpool from 'workerpool';

workerpool.worker({ add: (left, right) => left + right });
