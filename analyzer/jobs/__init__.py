"""The work behind the commands and the functions of the library, one module each; what several need lies beside."""
