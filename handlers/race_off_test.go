//go:build !race

package handlers

// raced says that the race detector is on, which multiplies what memory and time cost.
const raced = false
