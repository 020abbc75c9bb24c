package blocking

import "fmt"

// Option is one of a client's options that is a number, or a duration.
type Option struct {
	Name  string
	Value int64
}

// NotNegative says which of the options is negative.
func NotNegative(all ...Option) error {
	for _, o := range all {
		if o.Value < 0 {
			return fmt.Errorf("the option %s is negative: leave it out for its default", o.Name)
		}
	}
	return nil
}
