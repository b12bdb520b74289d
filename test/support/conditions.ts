/** Waits until `condition` holds, however long that takes: the runner ends a test that never comes to an end. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}
