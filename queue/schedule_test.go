package queue_test

import (
	"testing"
	"time"

	"holdfast/queue"
)

func TestSchedulesAreThoseOfCron(t *testing.T) {
	for _, c := range []struct{ text, after, want string }{
		{"* * * * *", "2026-01-31T23:59:30Z", "2026-02-01T00:00:00Z"},
		{"*/15 * * * *", "2026-01-01T10:15:00Z", "2026-01-01T10:30:00Z"},
		{"10-50/20 3 * * *", "2026-01-01T03:30:00Z", "2026-01-01T03:50:00Z"},
		{"5/20 * * * *", "2026-01-01T03:30:00Z", "2026-01-01T03:45:00Z"},
		{"0 9 * * mon-fri", "2026-11-27T09:00:00Z", "2026-11-30T09:00:00Z"},
		{"0 0 * * 7", "2026-11-24T00:00:00Z", "2026-11-29T00:00:00Z"},
		{"0 0 13 * fri", "2026-11-14T00:00:00Z", "2026-11-20T00:00:00Z"},
		{"0 0 13 * fri", "2026-12-12T00:00:00Z", "2026-12-13T00:00:00Z"},
		{"30 4 1,15 jan,Dec *", "2026-01-15T04:30:00Z", "2026-12-01T04:30:00Z"},
		{"0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"@hourly", "2026-01-01T10:15:00Z", "2026-01-01T11:00:00Z"},
		{"@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"@every 90s", "1970-01-01T00:01:00Z", "1970-01-01T00:01:30Z"},
		// Berlin: forward at 2:00 on March 29, back at 3:00 on October 25, 2026.
		{"TZ=Europe/Berlin 0 6 * * *", "2026-07-01T00:00:00Z", "2026-07-01T04:00:00Z"},
		{"TZ=Europe/Berlin 30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"TZ=Europe/Berlin 30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		{"TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"TZ=Europe/Berlin 30 * * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"TZ=Europe/Berlin 30 * * * *", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"},
		// The same however the hours are written: each hour's tasks go on, one of a given hour is due once.
		{"TZ=Europe/Berlin */5 0-23 * * *", "2026-10-25T00:55:00Z", "2026-10-25T01:00:00Z"},
		{"TZ=Europe/Berlin 30 */1 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"TZ=Europe/Berlin 30 0-11,12-23 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"TZ=America/Havana 0 */24 * * *", "2026-11-01T03:00:00Z", "2026-11-01T04:00:00Z"}, // back at 1:00, to 0:00
		{"TZ=America/Havana 0 */24 * * *", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		{"TZ=America/Havana 0 */24 * * *", "2026-03-08T04:00:00Z", "2026-03-08T05:00:00Z"}, // forward at 0:00
	} {
		s, err := queue.ParseSchedule(c.text, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		after, _ := time.Parse(time.RFC3339, c.after)
		if got := s.Next(after).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s after %s: %s, want %s", c.text, c.after, got, c.want)
		}
	}
	for _, text := range []string{"", "* * * *", "60 * * * *", "* * 0 * *", "a * * * *", "*/0 * * * *", "5-1 * * * *", "0 0 30 2 *",
		"@every 0s", "@every", "@never", "TZ=Nowhere/Town * * * * *", "* * * --- *", "* * * * mond"} {
		if _, err := queue.ParseSchedule(text, nil); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
