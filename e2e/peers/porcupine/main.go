// Porcupine says whether a history of transactions over pairs of registers is linearizable.
//
// Standard input: a JSON object a line, an operation. Operations of different groups share no register. The answer is
// a line for each group that is not linearizable, with the place where the longest order ends, and exit code 1; 3 when a
// group was too much to decide.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// Step is a part of a transaction. All parts hold, or none is done.
type Step struct {
	// set: write Value; is: the register holds Value at version Want; check: it is at version Want.
	Kind string `json:"kind"`
	// Which register of the group: 0 or 1.
	Register int `json:"register"`
	// The version wanted before; -1: any.
	Want int `json:"want"`
	// What is written, or was read.
	Value string `json:"value"`
}

// Outcome is what the client was told.
type Outcome struct {
	Done bool `json:"done"`
	// After each step: the version of its register, or -1 where the answer does not say.
	Versions []int `json:"versions"`
}

// Operation is a line of the input. Times in ns of one clock.
type Operation struct {
	Group   string   `json:"group"`
	Client  int      `json:"client"`
	Call    int64    `json:"call"`
	Return  int64    `json:"return"`
	Steps   []Step   `json:"steps"`
	Outcome *Outcome `json:"outcome"` // null: nobody knows whether it was done
	Zxid    int64    `json:"zxid"`    // only told, not judged
}

func (o *Operation) String() string {
	steps, _ := json.Marshal(o.Steps)
	outcome, _ := json.Marshal(o.Outcome)
	return fmt.Sprintf("client %d, %d to %d us, zxid %#x: %s -> %s", o.Client, o.Call/1000, o.Return/1000, o.Zxid, steps, outcome)
}

type register struct {
	version int
	value   string
}

// Registers begin at version 0 with an empty value.
type state [2]register

func apply(before state, steps []Step) (bool, state, []int) {
	after := before
	versions := make([]int, len(steps))
	for i, step := range steps {
		at := &after[step.Register]
		if step.Want != -1 && at.version != step.Want {
			return false, before, nil
		}
		versions[i] = at.version
		switch step.Kind {
		case "set":
			at.version++
			at.value = step.Value
			versions[i] = at.version
		case "is", "check":
		default:
			panic("no step is called " + step.Kind)
		}
	}
	return true, after, versions
}

// readsAlike is whether what was read is what is there; another matter than whether the transaction holds.
func readsAlike(before state, steps []Step) bool {
	after := before
	for _, step := range steps {
		at := &after[step.Register]
		if step.Kind == "is" && at.value != step.Value {
			return false
		}
		if step.Kind == "set" {
			at.version++
			at.value = step.Value
		}
	}
	return true
}

func step(from, input, output any) (bool, any) {
	before, operation := from.(state), input.(*Operation)
	done, after, versions := apply(before, operation.Steps)
	told := operation.Outcome
	if told == nil {
		return true, after
	}
	if !told.Done || !done {
		return told.Done == done, before
	}
	for i, version := range told.Versions {
		if version != -1 && version != versions[i] {
			return false, before
		}
	}
	return readsAlike(before, operation.Steps), after
}

// explain prints the end of the longest order, and the first operations that do not fit behind it.
func explain(model porcupine.Model, history []porcupine.Operation) {
	const most = 6
	_, info := porcupine.CheckOperationsVerbose(model, history, 60*time.Second)
	var longest []porcupine.Operation
	for _, parts := range info.PartialLinearizationsOperations() {
		for _, part := range parts {
			if len(part) > len(longest) {
				longest = part
			}
		}
	}
	placed := map[any]bool{}
	state := model.Init()
	for _, operation := range longest {
		placed[operation.Input] = true
		_, state = model.Step(state, operation.Input, operation.Output)
	}
	fmt.Printf("  %d of them can be ordered, the last of which are\n", len(longest))
	for _, operation := range longest[max(0, len(longest)-most):] {
		fmt.Printf("    %v\n", operation.Input)
	}
	fmt.Printf("  then the registers are %+v, and next come\n", state)
	sort.Slice(history, func(i, j int) bool { return history[i].Return < history[j].Return })
	left := 0
	for _, operation := range history {
		if !placed[operation.Input] && left < most {
			fmt.Printf("    %v\n", operation.Input)
			left++
		}
	}
}

func main() {
	groups := map[string][]porcupine.Operation{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	count := 0
	for lines.Scan() {
		operation := new(Operation)
		if err := json.Unmarshal(lines.Bytes(), operation); err != nil {
			fmt.Fprintf(os.Stderr, "porcupine: line %d: %v\n", count+1, err)
			os.Exit(2)
		}
		until := operation.Return
		if operation.Outcome == nil {
			until = math.MaxInt64 // it may be done at any later time, or never
		}
		groups[operation.Group] = append(groups[operation.Group], porcupine.Operation{
			ClientId: operation.Client, Input: operation, Call: operation.Call, Return: until,
		})
		count++
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "porcupine:", err)
		os.Exit(2)
	}
	model := porcupine.Model{Init: func() any { return state{} }, Step: step}
	code := 0
	names := make([]string, 0, len(groups))
	for name := range groups {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		switch porcupine.CheckOperationsTimeout(model, groups[name], 60*time.Second) {
		case porcupine.Illegal:
			fmt.Printf("group %s: %d operations that no order explains\n", name, len(groups[name]))
			explain(model, groups[name])
			code = 1
		case porcupine.Unknown:
			fmt.Printf("group %s: %d operations, not decided within 60 s\n", name, len(groups[name]))
			if code == 0 {
				code = 3
			}
		}
	}
	fmt.Printf("%d operations in %d groups\n", count, len(groups))
	os.Exit(code)
}
