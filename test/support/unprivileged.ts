const nobody = 65534;

/** Runs a task as a user whom permissions bind: root, whom they do not, becomes nobody for as long as it takes. */
export async function unprivileged<T>(task: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return task();
  process.seteuid?.(nobody);
  try {
    return await task();
  } finally {
    process.seteuid?.(0);
  }
}
