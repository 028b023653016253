package chart

import "math"

// axis turns values into places.
type axis struct {
	least, most float64 // values
	log         bool
	ticks       []float64
	from, to    float64 // places of least and most
}

// newAxis gives an axis with round numbers from least to most or a little
// beyond: at powers of ten where it is logarithmic, and at 2 and 5 between them
// where it is short.
func newAxis(least, most float64, log bool) axis {
	if log {
		return newLogAxis(least, most)
	}
	if most <= least {
		most = least + 1
	}
	step := roundStep((most - least) / 5)
	a := axis{least: math.Floor(least/step) * step, most: math.Ceil(most/step-1e-9) * step}
	for i := range int(math.Round((a.most-a.least)/step)) + 1 {
		a.ticks = append(a.ticks, a.least+float64(i)*step)
	}
	return a
}

// roundStep is the 1, 2 or 5 times a power of ten that is not below f.
func roundStep(f float64) float64 {
	power := math.Pow10(int(math.Floor(math.Log10(f))))
	for _, step := range []float64{1, 2, 5} {
		if f <= step*power*(1+1e-9) {
			return step * power
		}
	}
	return 10 * power
}

func newLogAxis(least, most float64) axis {
	between := []float64{1}
	if most/least < 200 {
		between = []float64{1, 2, 5}
	}
	var all []float64
	for power := math.Floor(math.Log10(least)); power <= math.Ceil(math.Log10(most))+1; power++ {
		for _, times := range between {
			all = append(all, times*math.Pow10(int(power)))
		}
	}
	first, last := 0, len(all)-1
	for all[first+1] <= least*(1+1e-9) {
		first++
	}
	for last > first+1 && all[last-1] >= most*(1-1e-9) {
		last--
	}
	return axis{least: all[first], most: all[last], log: true, ticks: all[first : last+1]}
}

func (a axis) at(value float64) float64 {
	least, most := a.least, a.most
	if a.log {
		value, least, most = math.Log(value), math.Log(least), math.Log(most)
	}
	return a.from + (a.to-a.from)*(value-least)/(most-least)
}
