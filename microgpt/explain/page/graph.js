// Who uses a number, and what a sum is made of. A page says by operationsNow() from which node to which its operations go.

let uses, firstUse;      // who uses a node: uses[firstUse[n]] to uses[firstUse[n + 1] - 1]; made when asked for
let usesAreOld = true;
let useCount, firstUser; // how many use a node, and which first, before anything is changed
let stripOf, placeOf;    // of a node, its strip (-1: none) and place in it

function countUses(from, n) {
  useCount = new Int32Array(n); firstUser = new Int32Array(n);
  const count = (operand, user) => { if (!useCount[operand]++) firstUser[operand] = user; };
  for (let node = from; node < n; node++) {  // as operandsOf has it, but without a list for each node
    const k = kind[node];
    if (k >= LARGEST) operandsOf(node).forEach((operand) => count(operand, node));
    else if (k > CONSTANT) count(left[node], node);
    if (k === ADD || k === MUL) count(right[node], node);
  }
}

function usesOf(node) {
  const [from, end] = operationsNow();
  if (usesAreOld) {
    firstUse = new Int32Array(end + 1);
    const each = (visit) => { for (let user = from; user < end; user++) for (const operand of operandsOf(user)) visit(operand, user); };
    each((operand) => firstUse[operand + 1]++);
    for (let i = 0; i < end; i++) firstUse[i + 1] += firstUse[i];
    uses = new Int32Array(firstUse[end]);
    const next = firstUse.slice();
    each((operand, user) => { uses[next[operand]++] = user; });
    usesAreOld = false;
  }
  return uses.subarray(firstUse[node], firstUse[node + 1]);
}

function received(node) {  // what all users of a node send back to it
  if (node === model.result) return 1;
  let sum = 0;
  usesOf(node).forEach((user, i, all) => {
    if (i > 0 && all[i - 1] === user) return;  // a node used twice by the same user is listed twice
    operandsOf(user).forEach((operand, side) => { if (operand === node) sum += derivative(user, side) * gradient[user]; });
  });
  return sum;
}

// A sum of many terms counts as one thing, though it is many additions.

function termsOf(node) {
  const terms = [], stack = [node];
  while (stack.length) {
    const one = stack.pop();
    const inner = one === node || (kind[one] === ADD && stripOf[one] < 0 && useCount[one] === 1);
    if (inner) stack.push(right[one], left[one]);
    else if (!(kind[one] === CONSTANT && data[one] === 0)) terms.push(one);  // sum() begins with 0
  }
  return terms;
}

const isTermProduct = (node) => kind[node] === MUL && stripOf[node] < 0 && useCount[node] === 1;
