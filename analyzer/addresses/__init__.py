"""What an address is: a number, a range it falls in, the class, kind and rule that follow."""
