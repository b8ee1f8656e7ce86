/* A program that does nothing, statically linked: what starting one costs at the least. */
int main(void)
{
    return 0;
}
