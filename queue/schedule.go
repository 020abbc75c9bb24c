package queue

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Schedule says when a periodic task is due.
type Schedule struct {
	text  string
	every time.Duration // else by the calendar:
	zone  *time.Location

	minutes, hours, days, months, weekdays uint64 // a bit for each value
	everyHour                              bool   // however the hours are written
	anyDay, anyWeekday                     bool
}

// ParseSchedule parses the five fields of cron, minute hour day month weekday, with
// lists, ranges, steps and English names; or @hourly, @daily, @weekly, @monthly,
// @yearly; or @every and a duration of whole milliseconds, whose ticks are the
// multiples of it since 1970. If both days and weekdays are given, a day that is among
// either is due.
//
// The clock is that of zone, or of TZ=Europe/Berlin before the fields; nil is UTC. When
// clocks go forward, a time within the gap is due at its end. When clocks go back, a
// schedule of all hours is due in both of the repeated hours, however it is written; any
// other is due in the first of them.
func ParseSchedule(text string, zone *time.Location) (*Schedule, error) {
	s := &Schedule{text: text, zone: zone}
	if zone == nil {
		s.zone = time.UTC
	}
	fail := func(why any) (*Schedule, error) { return nil, fmt.Errorf("queue: schedule %q: %v", text, why) }
	rest := strings.TrimSpace(text)
	for _, prefix := range []string{"TZ=", "CRON_TZ="} {
		if after, ok := strings.CutPrefix(rest, prefix); ok {
			name, fields, _ := strings.Cut(after, " ")
			var err error
			if s.zone, err = time.LoadLocation(name); err != nil {
				return fail(err)
			}
			rest = strings.TrimSpace(fields)
			break
		}
	}
	if d, ok := strings.CutPrefix(rest, "@every "); ok {
		every, err := time.ParseDuration(strings.TrimSpace(d))
		if err == nil && (every <= 0 || every%time.Millisecond != 0) {
			err = fmt.Errorf("%v is not a number of whole milliseconds above 0", every)
		}
		if err != nil {
			return fail(err)
		}
		s.every = every
		return s, nil
	}
	if long, ok := nicknames[rest]; ok {
		rest = long
	}
	f := strings.Fields(rest)
	if len(f) != 5 {
		return fail(fmt.Sprintf("%d fields, not five: minute hour day month weekday", len(f)))
	}
	for i, field := range []struct {
		to       *uint64
		min, max int
		names    string
	}{
		{&s.minutes, 0, 59, ""},
		{&s.hours, 0, 23, ""},
		{&s.days, 1, 31, ""},
		{&s.months, 1, 12, "--- jan feb mar apr may jun jul aug sep oct nov dec"},
		{&s.weekdays, 0, 7, "sun mon tue wed thu fri sat"},
	} {
		var err error
		if *field.to, err = parseField(f[i], field.min, field.max, field.names); err != nil {
			return fail(err)
		}
	}
	s.weekdays = s.weekdays&0x7f | s.weekdays>>7&1 // 7 is Sunday too
	s.everyHour = s.hours == 1<<24-1
	s.anyDay, s.anyWeekday = f[2][0] == '*', f[4][0] == '*'
	if s.Next(time.Unix(0, 0)).IsZero() {
		return fail("there is no such day")
	}
	return s, nil
}

var nicknames = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
	"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

// parseField parses a list of values, ranges and steps: *, 5, 1-5, */10, 10-50/20.
func parseField(field string, least, most int, names string) (set uint64, err error) {
	value := func(s string) (int, error) {
		if len(s) == 3 && names != "" {
			if i := strings.Index(names, strings.ToLower(s)); i%4 == 0 && i/4 >= least {
				return i / 4, nil
			}
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("%q is not from %d to %d", s, least, most)
		}
		return n, nil
	}
	for part := range strings.SplitSeq(field, ",") {
		span, every, stepped := strings.Cut(part, "/")
		from, to, step := least, most, 1
		if stepped {
			if step, err = strconv.Atoi(every); err != nil || step < 1 {
				return 0, fmt.Errorf("%q is no step", every)
			}
			step = min(step, most+1) // from + step cannot overflow
		}
		if span != "*" {
			first, last, ranged := strings.Cut(span, "-")
			if from, err = value(first); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				if to, err = value(last); err != nil {
					return 0, err
				}
			case !stepped:
				to = from
			}
			if to < from {
				return 0, fmt.Errorf("%q ends before it begins", span)
			}
		}
		for i := from; i <= to; i += step {
			set |= 1 << i
		}
	}
	return set, nil
}

// Next returns the first time after t, or the zero time if there is none in the next nine
// years, as for the 30th of February.
func (s *Schedule) Next(t time.Time) time.Time {
	if s.every > 0 {
		ms := s.every.Milliseconds()
		return time.UnixMilli((t.UnixMilli()/ms + 1) * ms).In(s.zone)
	}
	t = t.In(s.zone).Truncate(time.Minute).Add(time.Minute)
	for end := t.AddDate(9, 0, 0); t.Before(end); {
		switch {
		case s.matches(t) && !s.repeated(t), s.skipped(t):
			return t
		case !s.day(t) || s.hours&(1<<t.Hour()) == 0:
			t = t.Add(time.Duration(60-t.Minute()) * time.Minute)
		default:
			// To the next minute that is set in this hour, or to the next hour.
			later := s.minutes >> (t.Minute() + 1)
			step := min(bits.TrailingZeros64(later)+1, 60-t.Minute())
			t = t.Add(time.Duration(step) * time.Minute)
		}
	}
	return time.Time{}
}

func (s *Schedule) matches(t time.Time) bool {
	return s.minutes&(1<<t.Minute()) != 0 && s.hours&(1<<t.Hour()) != 0 && s.day(t)
}

func (s *Schedule) day(t time.Time) bool {
	if s.months&(1<<t.Month()) == 0 {
		return false
	}
	day, weekday := s.days&(1<<t.Day()) != 0, s.weekdays&(1<<t.Weekday()) != 0
	if s.anyDay || s.anyWeekday {
		return day && weekday
	}
	return day || weekday
}

// repeated tells whether the clock showed the same time before, because it went
// back since, and that is not due again.
func (s *Schedule) repeated(t time.Time) bool {
	if s.everyHour {
		return false
	}
	_, now := t.Zone()
	_, before := t.Add(-3 * time.Hour).Zone()
	if before <= now {
		return false
	}
	earlier := t.Add(-time.Duration(before-now) * time.Second)
	_, then := earlier.Zone()
	return then == before
}

// skipped tells whether t is when the clock went forward, over a time that was due.
func (s *Schedule) skipped(t time.Time) bool {
	if s.everyHour {
		return false
	}
	_, now := t.Zone()
	_, before := t.Add(-time.Minute).Zone()
	wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC)
	for gap := now - before; gap > 0; gap -= 60 {
		if s.matches(wall.Add(-time.Duration(gap) * time.Second)) {
			return true
		}
	}
	return false
}
