/** The function that pools run. */
export default function add({ left, right }) {
  return left + right;
}
